"""The files of TensorBoard's projector: points, their names and labels, and their images."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tfp_vae.cli.app import one_line
from tfp_vae.errors import InputError
from tfp_vae.images.convert import to_float
from tfp_vae.images.grids import to_bytes
from tfp_vae.progress import progress_bar
from tfp_vae.whole_files import replacing

if TYPE_CHECKING:
    from tfp_vae.images.folders import ImageFiles

# The names that the configuration gives to TensorBoard.
TENSORS, METADATA, SPRITE = "tensors.tsv", "metadata.tsv", "sprite.png"
CONFIGURATION = "projector_config.pbtxt"  # the name that TensorBoard looks for
MAX_SPRITE_SIDE = 8192  # pixels, of the picture of all images; TensorBoard refuses a larger one
BATCH = 512  # rows that are written, and images that are read, at once


def thumbnail_size(count: int, height: int, width: int) -> tuple[int, int]:
    """The height and width of the image of one point: as they are, or less where there are many.

    Raises:
      InputError: so many points that no pixel is left for each.
    """
    most = MAX_SPRITE_SIDE // max(_columns(count), 1)
    if not most:
        raise InputError(f"--projector: {count:,} images: expected at most {MAX_SPRITE_SIDE**2:,}")
    scale = min(1.0, most / max(height, width))
    return max(int(height * scale), 1), max(int(width * scale), 1)


def write(
    folder: Path,
    points: np.ndarray,
    texts: Mapping[str, Sequence[str]],
    pixels: "np.ndarray | ImageFiles",
) -> None:
    """Writes what TensorBoard's projector reads; makes the folder where it is missing.

    Args:
      folder: a log folder of TensorBoard.
      points: [N, D], float32.
      texts: columns of N texts each, by name.
      pixels: the images of the points, [N, H, W, C].
    """
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    height, width = thumbnail_size(len(points), *pixels.shape[1:3])
    folder.mkdir(exist_ok=True)
    with (
        open(folder / TENSORS, "w", encoding="utf-8") as file,
        progress_bar(len(points), "points") as bar,
    ):
        for start in range(0, len(points), BATCH):
            batch = points[start : start + BATCH]
            np.savetxt(file, batch, fmt="%.9g", delimiter="\t")  # restores float32 exactly
            bar.update(len(batch))
    rows = list(zip(*texts.values(), strict=True))
    if len(texts) > 1:  # TensorBoard takes the first line for a header where there are columns
        rows = [tuple(texts), *rows]
    lines = ["\t".join(map(one_line, row)) + "\n" for row in rows]
    (folder / METADATA).write_text("".join(lines), encoding="utf-8")
    sprite = _sprite(pixels, height, width)
    with replacing(folder / SPRITE) as picture:
        sprite.save(picture, "PNG")

    config = ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "latents"
    embedding.tensor_shape.extend(points.shape)
    embedding.tensor_path, embedding.metadata_path = TENSORS, METADATA
    embedding.sprite.image_path = SPRITE
    embedding.sprite.single_image_dim.extend([width, height])
    text = text_format.MessageToString(config)
    (folder / CONFIGURATION).write_text(text, encoding="utf-8")


def _columns(count: int) -> int:
    """Of the picture of all images, which has as many rows: TensorBoard mixes the two up."""
    return math.ceil(count**0.5)


def _sprite(pixels: "np.ndarray | ImageFiles", height: int, width: int) -> Image.Image:
    """All images in one picture, in rows, without a line between them."""
    count, channels = pixels.shape[0], pixels.shape[-1]
    columns = _columns(count)
    sprite = Image.new("L" if channels == 1 else "RGB", (columns * width, columns * height))
    with progress_bar(count, "thumbnails") as bar:
        for start in range(0, count, BATCH):
            batch = to_bytes(to_float(pixels[start : start + BATCH]))
            for index, image in enumerate(batch, start):
                thumbnail = Image.fromarray(image[..., 0] if channels == 1 else image)
                if image.shape[:2] != (height, width):
                    thumbnail = thumbnail.resize((width, height), Image.Resampling.BOX)
                row, column = divmod(index, columns)
                sprite.paste(thumbnail, (column * width, row * height))
            bar.update(len(batch))
    return sprite
