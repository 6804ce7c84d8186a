"""The explorer in a real browser: Debian's chromium without a window, driven by Playwright."""

import os
import shutil
import statistics
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.explorer import digits_model, serving, sources
from PIL import Image

import tfp_vae

pytest.importorskip("bokeh", reason="needs Bokeh, of the extra explore")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of extra browser")
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# A mark, and no skip of the module: pytest ends with an error where it collects no test.
pytestmark = pytest.mark.skipif(not BROWSER, reason="no chromium: apt-get install chromium")

from tfp_vae.explorer.collection import EncodedCollection  # noqa: E402

SECONDS = 1000  # of Playwright's timeouts
HERE = "127.0.0.1"
# No name has an address, so that a request to another machine fails, and is in the console.
FLAGS = ["--no-sandbox", f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HERE}"]
PICTURE = "document.getElementById('picture').src"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def digits():
    model, found = digits_model()
    collection = EncodedCollection(model, found)
    with serving(model, collection) as port:
        yield port, collection


class Window:
    """A page, and what the browser has said of it."""

    def __init__(self, page, port):
        self.page, self.port = page, port
        self.said, self.asked, self.expected_errors = [], [], 0
        page.set_default_timeout(60 * SECONDS)
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.goto(f"http://{HERE}:{port}/")
        page.wait_for_function(f"{PICTURE}.startsWith('data:')")

    def picture(self):
        return self.page.evaluate(PICTURE)

    @contextmanager
    def another_picture(self):
        """Waits until the picture has changed by what is done within."""
        before = self.picture()
        yield
        self.page.wait_for_function("before => document.getElementById('picture').src !== before",
                                    arg=before)  # fmt: skip

    def click_image(self, row, collection):
        """Clicks the point of an image on the map."""
        x, y = (float(each) for each in collection.points[row])
        at = self.page.evaluate(
            """([x, y]) => {
              const figure = Bokeh.documents[0].roots().map((root) => root.children)
                .flat().find((model) => model && model.x_range);
              const view = Bokeh.index.find_one(figure);
              const box = view.el.getBoundingClientRect();
              return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
            }""",
            [x, y],
        )
        self.page.mouse.click(*at)
        return at

    def caption_is(self, text):
        self.page.wait_for_function(
            "text => document.getElementById('caption').textContent.startsWith(text)", arg=text
        )


@contextmanager
def window(browser, port, width=1280):
    """A window, in which nothing is said and whose requests are all to this server."""
    context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
    try:
        opened = Window(context.new_page(), port)
        yield opened
        assert opened.said == []
        own = (f"http://{HERE}:{port}/", f"ws://{HERE}:{port}/", "data:image/")
        assert [url for url in opened.asked if not url.startswith(own)] == []
        assert any(url.startswith("ws:") for url in opened.asked)
    finally:
        context.close()


def test_a_person_moves_chooses_lassoes_walks_drops_and_downloads(browser, digits, tmp_path):
    port, found = digits
    with window(browser, port) as opened:
        page = opened.page
        page.locator("#section-latents .noUi-handle").first.focus()
        with opened.another_picture():
            for _ in range(8):
                page.keyboard.press("ArrowRight")
        for label in ("Sample the prior", "Sample the mixture", "Back to this image's mean"):
            with opened.another_picture():
                page.get_by_role("button", name=label).click()
        with opened.another_picture():
            page.get_by_role("button", name="a draw").click()
        page.get_by_role("button", name="mean of p(x|z)").click()

        at = opened.click_image(7, found)
        opened.caption_is("image ")
        page.mouse.move(at[0], at[1] + 1)
        thumbnail = page.locator("#section-map .bk-tooltip img, .bk-Tooltip img").first
        thumbnail.wait_for()
        assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8

        opened.click_image(30, found)
        page.locator("#section-path img").nth(11).wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the GIF").click()
        with Image.open(download.value.path()) as film:
            assert film.format == "GIF" and film.n_frames == 22

        page.evaluate("window.scrollTo(0, 0)")  # the link is further down
        box = page.locator("#section-map canvas").first.bounding_box()
        corners = np.array([(0.2, 0.2), (0.8, 0.2), (0.8, 0.7), (0.2, 0.7), (0.2, 0.2)])
        corners = corners * (box["width"], box["height"]) + (box["x"], box["y"])
        page.mouse.move(*corners[0])
        page.mouse.down()
        for corner in corners[1:]:
            page.mouse.move(*corner, steps=4)
        page.mouse.up()
        page.wait_for_timeout(500)
        page.get_by_role("button", name="Take the lasso").first.click()
        page.locator("#section-groups select").nth(1).select_option("label 3")
        strength = "Bokeh.documents[0].get_model_by_name('strength')"
        page.wait_for_function(f"!{strength}.disabled")
        page.locator("#section-groups .noUi-handle").focus()
        with opened.another_picture():
            for _ in range(10):
                page.keyboard.press("ArrowRight")
        assert page.locator("#section-groups select").first.input_value().startswith("lasso, ")

        path = tmp_path / "mine.png"
        Image.fromarray(np.full((40, 60), 90, np.uint8)).save(path)
        with opened.another_picture():
            page.set_input_files("#file", path)
        page.get_by_text("ELBO ").wait_for()
        assert page.locator("#section-upload img").count() == 10
        opened.caption_is("mine.png")
        drop(page, "bad.png", [1, 2, 3])
        page.get_by_text("bad.png: not a PNG or JPEG").wait_for()
        drop(page, "huge.png", [0] * 10, size=10_000_001)
        page.get_by_text("huge.png: too large: expected at most 10 MB").wait_for()
        drop(page, "good.png", list(path.read_bytes()))
        opened.caption_is("good.png")


def test_fifty_bad_files_are_named_and_leave_the_page_working(browser, digits, tmp_path):
    port, _ = digits
    path = tmp_path / "good.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    Image.fromarray(noise).save(path)
    good = list(path.read_bytes())
    with window(browser, port) as opened:
        before = opened.picture()
        for number in range(50):
            drop(opened.page, f"bad-{number}.png", good[: number * len(good) // 60])
            opened.page.get_by_text(f"bad-{number}.png: ").wait_for()
        assert opened.picture() == before
        drop(opened.page, "good.png", good)
        opened.caption_is("good.png")


def drop(page, name, content, size=None):
    """Drops a file on the page, of `size` bytes if it is given."""
    transfer = page.evaluate_handle(
        """([name, content, size]) => {
          const transfer = new DataTransfer();
          const bytes = size === null ? new Uint8Array(content) : new Uint8Array(size);
          transfer.items.add(new File([bytes], name));
          return transfer;
        }""",
        [name, content, size],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def test_the_keyboard_alone_can_do_it(browser, digits):
    port, _ = digits
    with window(browser, port) as opened:
        page, reached = opened.page, []
        focused = """() => { let at = document.activeElement;
          while (at.shadowRoot && at.shadowRoot.activeElement) at = at.shadowRoot.activeElement;
          return (at.className + ' ' + at.tagName + ' ' + (at.textContent || at.type || '')); }"""
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(focused))
            if "Sample the prior" in reached[-1]:
                with opened.another_picture():
                    page.keyboard.press("Enter")
            elif "number" in reached[-1]:
                page.keyboard.type("25\n")  # after the 0: image 250, or 25 in its place
                page.wait_for_function(
                    "document.getElementById('caption').textContent.startsWith('image 25')"
                )
            elif "SELECT" in reached[-1]:
                page.keyboard.press("ArrowDown")
            elif "INPUT file" in reached[-1]:
                break
        text = "\n".join(reached)
        for each in ("noUi-handle", "a draw", "spherical", "SELECT", "Download the GIF", "file"):
            assert each in text, (each, text)


def test_a_phone_has_one_column(browser, digits):
    port, _ = digits
    with window(browser, port, width=390) as opened:
        page = opened.page
        boxes = [each.bounding_box() for each in page.locator("main section").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
        assert len({box["x"] for box in boxes}) == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#section-latents .noUi-handle").last.scroll_into_view_if_needed()
        top = page.locator("#picture").bounding_box()["y"]
        assert 0 <= top < 100  # it stays in sight


def test_a_click_changes_a_code(browser, grey_images):
    options = {"model": "vq_vae", "network": "conv", "filters": (4, 6), "codebook_size": 8}
    model = tfp_vae.inference_model(tfp_vae.build_vae((8, 9, 1), images=grey_images, **options))
    collection = EncodedCollection(model, sources(grey_images))
    with serving(model, collection) as port, window(browser, port) as opened:
        codes = "Bokeh.documents[0].get_model_by_name('codes').data.code"
        before = opened.page.evaluate(f"Array.from({codes})")
        canvases = opened.page.locator("#section-latents .bk-Figure")
        palette, grid = canvases.last.bounding_box(), canvases.first.bounding_box()
        row, column = divmod((before[0] + 1) % 8, 4)  # the palette has two rows of four
        x = palette["x"] + (column + 0.5) / 4 * palette["width"]
        opened.page.mouse.click(x, palette["y"] + (row + 0.5) / 2 * palette["height"])
        opened.page.wait_for_timeout(500)
        with opened.another_picture():
            opened.page.mouse.click(grid["x"] + 30, grid["y"] + 30)
        written = opened.page.evaluate(f"Array.from({codes})")
        changed = [a != b for a, b in zip(before, written, strict=True)]
        assert changed[0] and sum(changed) == 1


@pytest.mark.slow
@pytest.mark.parametrize("network", ["dense", "resnet"])
def test_the_picture_follows_a_slider(browser, network):
    if network == "dense":
        model, found = digits_model(1797)
    else:
        images = np.random.default_rng(0).random((200, 64, 64, 3)).astype(np.float32)
        vae = tfp_vae.build_vae((64, 64, 3), 16, network="resnet", images=images)
        model, found = tfp_vae.inference_model(vae), sources(images)
    with serving(model, EncodedCollection(model, found)) as port, window(browser, port) as opened:
        times = latencies(opened.page, 100)
    median, late = statistics.median(times), sorted(times)[94]
    print(f"{network}: median {median:.0f} ms, 95th percentile {late:.0f} ms")
    assert median < 100 and late < 250


def latencies(page, count):
    """Milliseconds from each of `count` keys on a slider to the next picture."""
    page.locator("#section-latents .noUi-handle").first.focus()
    page.evaluate(
        """() => {
          window.times = [];
          window.pressed = 0;
          const note = () => {
            if (window.pressed) window.times.push(performance.now() - window.pressed);
            window.pressed = 0;
          };
          const picture = document.getElementById('picture');
          new MutationObserver(note).observe(picture, {attributes: true});
          const press = () => { window.pressed = performance.now(); };
          document.addEventListener('keydown', press, true);
        }"""
    )
    page.wait_for_timeout(1 * SECONDS)
    for press in range(count):
        page.keyboard.press("ArrowRight" if press // 20 % 2 == 0 else "ArrowLeft")
        page.wait_for_function("window.pressed === 0", polling=5)
    return page.evaluate("window.times")
