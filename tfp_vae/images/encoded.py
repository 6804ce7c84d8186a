"""The size in the header of an encoded image, read in the graph before TensorFlow decodes it."""

import tensorflow as tf

from tfp_vae.images.files import JPEG, PNG


def pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Height times width in the header of PNG or JPEG bytes, an int64; -1 for anything else.

    TensorFlow's decoders allocate up to half a gigabyte for the size that a header claims, before
    they read the pixels.
    """

    def of_png() -> tf.Tensor:
        size = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
        size = tf.cast(tf.reshape(size, [2]), tf.int64)
        return tf.where(tf.reduce_all(size > 0), tf.reduce_prod(size), -1)  # -1 x -1 is 1

    def of_jpeg() -> tf.Tensor:
        return tf.reduce_prod(tf.io.extract_jpeg_shape(encoded, tf.int32)[:2])

    def starts(magic: bytes) -> tf.Tensor:
        return tf.strings.substr(encoded, 0, len(magic)) == magic

    return tf.case(
        [
            (starts(PNG) & (tf.strings.length(encoded) >= 24), of_png),
            (starts(JPEG), lambda: tf.cast(of_jpeg(), tf.int64)),
        ],
        default=lambda: tf.constant(-1, tf.int64),
    )


def require(encoded: tf.Tensor, limit: int) -> tf.Tensor:
    """`encoded`, once its header is known to claim 1 to `limit` pixels.

    Raises:
      tf.errors.InvalidArgumentError: where it claims another number, when the graph runs.
    """
    claimed = pixels(encoded)
    message = f"image whose header does not claim 1 to {limit} pixels"
    with tf.control_dependencies(
        [
            tf.debugging.assert_greater(claimed, tf.constant(0, tf.int64), message=message),
            tf.debugging.assert_less_equal(claimed, tf.constant(limit, tf.int64), message=message),
        ]
    ):
        return tf.identity(encoded)
