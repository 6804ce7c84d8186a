// Called once Bokeh is connected. Each argument is a ColumnDataSource of one row, or none.
function explorer(view, message, upload) {
  const element = (id) => document.getElementById(id);
  const show = () => {
    element("picture").src = view.data.picture[0];
    element("caption").textContent = view.data.caption[0];
    element("original").hidden = !view.data.original[0];
    element("original").src = view.data.original[0];
  };
  const say = () => { element("message").textContent = message.data.text[0]; };
  view.properties.data.change.connect(show);
  message.properties.data.change.connect(say);
  show();
  say();

  const read = (file) => {
    if (!file) return;
    if (file.size > MAX_BYTES) {
      const limit = MAX_BYTES / 1e6;
      element("message").textContent = `${file.name}: too large: expected at most ${limit} MB`;
      return;
    }
    const reader = new FileReader();
    reader.onload = () => {
      const content = reader.result.slice(reader.result.indexOf(",") + 1);
      upload.data = { name: [file.name], content: [content] };
    };
    reader.readAsDataURL(file);
  };
  element("file").addEventListener("change", (event) => {
    read(event.target.files[0]);
    event.target.value = "";  // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    read(event.dataTransfer.files[0]);
  });
}
