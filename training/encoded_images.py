"""The size that an encoded image claims, read in the graph before TensorFlow decodes it."""

import tensorflow as tf

from tfp_vae.images import JPEG, PNG


def pixels(encoded):
    """Height times width in the header of PNG or JPEG bytes, an int64; -1 for anything else.

    TensorFlow's own decoders allocate up to half a gigabyte for one image before they look further.
    """

    def of_png():
        size = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
        size = tf.cast(tf.reshape(size, [2]), tf.int64)
        return tf.where(tf.reduce_all(size > 0), tf.reduce_prod(size), -1)  # no -1 x -1 pixels

    def of_jpeg():
        return tf.reduce_prod(tf.io.extract_jpeg_shape(encoded, tf.int32)[:2])

    def starts(magic):
        return tf.strings.substr(encoded, 0, len(magic)) == magic

    return tf.case(
        [
            (starts(PNG) & (tf.strings.length(encoded) >= 24), of_png),
            (starts(JPEG), lambda: tf.cast(of_jpeg(), tf.int64)),
        ],
        default=lambda: tf.constant(-1, tf.int64),
    )


def require(encoded, limit):
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
