"""The splits of a data set of TensorFlow Datasets (TFDS)."""

from tfp_vae.errors import ImageError
from tfp_vae.images import tfds
from tfp_vae.images.colours import Colour
from training.data.split import Split, fits_in_memory, require_size

SPLITS = ("train", "validation", "test")


def read(name: str, data_dir: str | None, side: int | None, background: Colour) -> dict[str, Split]:
    """Those of the splits "train", "validation" and "test" that the data set has.

    Args:
      name: of the data set, with configuration and version where needed.
      data_dir: where TFDS keeps its data; None is its own default.
      side: in pixels, to crop and resize the images to; None keeps their size.
      background: what images with an alpha channel are composited on.

    Raises:
      ImageError: an unknown name, a data set that is not prepared, or one without uint8 images.
    """
    found = tfds.DataSet(name, data_dir, background)
    if side is None and None in found.shape:
        raise ImageError("images of several sizes: give --image-size")
    require_size((side, side) if side else found.shape, name)
    names = [split for split in SPLITS if split in found.splits]
    if "train" not in names:
        raise ImageError(f"splits {', '.join(found.splits)}: expected one named train")
    return {split: _split(found, split, side) for split in names}


def _split(found: tfds.DataSet, name: str, side: int | None) -> Split:
    shape = (side, side, found.shape[2]) if side else found.shape
    count = found.count(name)
    named = found.label_names is not None
    labels = (lambda: found.labels(name).indices) if named else None
    if fits_in_memory(count, shape):
        pixels = tfds.decoded(found.stream(name, side), name)
        return Split(count, shape, pixels=pixels, labels=labels, label_names=found.label_names)
    size = int(found.builder.info.splits[name].num_bytes)
    return Split(
        count,
        shape,
        stream=lambda: found.examples(name),
        decode=lambda example: found.decode(example, side),
        labels=labels,
        label_names=found.label_names,
        source=f"{found.builder.info.full_name} {name} {size} bytes",
    )
