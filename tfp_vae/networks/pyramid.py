"""The sizes of feature maps between an image and a few positions, for convolutional networks."""

import math

import tensorflow as tf
import tf_keras

tfkl = tf_keras.layers

KERNEL = 4  # of convolutions that halve or double: a multiple of the stride, so no chequerboard
MAX_POSITIONS = 7  # of the smallest feature map, in each direction
FIRST_FILTERS, MAX_FILTERS = 32, 128
# Of larger images the first level has half the filters: it would take most of the time.
LARGE_SIDE, FIRST_OF_LARGE = 32, 16


def default_filters(height: int, width: int, positions: int = MAX_POSITIONS) -> tuple[int, ...]:
    """Filters of each level: as many halvings as leave at most `positions` in each direction.

    For 8x8 pixels (32,), 28x28 (32, 64), 64x64 (16, 32, 64, 128); they double up to 128.
    """
    first = FIRST_FILTERS if max(height, width) <= LARGE_SIDE else FIRST_OF_LARGE
    levels = math.ceil(math.log2(max(height, width) / positions))
    return tuple(min(first * 2**level, MAX_FILTERS) for level in range(max(levels, 1)))


def smallest(height: int, width: int, levels: int) -> tuple[int, int]:
    """Rows and columns of the smallest feature map: each level halves, and rounds up."""
    return math.ceil(height / 2**levels), math.ceil(width / 2**levels)


def cropped(x: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The upper left `height` x `width` positions of a feature map."""
    below, right = x.shape[1] - height, x.shape[2] - width
    if below or right:  # Keras would copy x and its gradient even where nothing is cropped.
        x = tfkl.Cropping2D(((0, below), (0, right)))(x)
    return x


def by_parameter(x: tf.Tensor, parameters: int) -> tf.Tensor:
    """As `flat_parameters`, by operations in place of layers: for the call of a layer."""
    _, height, width, depth = x.shape
    x = tf.reshape(x, [-1, height * width, parameters, depth // parameters])
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, height * width * depth])


def flat_parameters(x: tf.Tensor, parameters: int) -> tf.Tensor:
    """[B, H, W, P * C] as [B, P * H * W * C], all of the first parameter first."""
    _, height, width, depth = x.shape
    x = tfkl.Reshape((height * width, parameters, depth // parameters))(x)
    return tfkl.Flatten()(tfkl.Permute((2, 1, 3))(x))
