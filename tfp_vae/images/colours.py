"""Colours by name, as a background for transparent images. Imports no NumPy, no TensorFlow."""

import re

Colour = tuple[int, int, int]  # red, green, blue, 0..255

BLACK: Colour = (0, 0, 0)


def colour(text: str) -> Colour:
    """The colour that a text names.

    Args:
      text: a name that Pillow knows, such as `white`, or `#rrggbb`.

    Raises:
      ValueError: another text.
    """
    from PIL import ImageColor  # it would slow down `training.fit --help`

    try:
        # Pillow also takes hsl(...) and colours with an alpha, and rgb(...) beyond 255.
        if not re.fullmatch(r"[A-Za-z]+|#[0-9A-Fa-f]{6}", text):
            raise ValueError(text)
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise ValueError("expected a colour name, such as white, or #rrggbb") from None
    return red, green, blue
