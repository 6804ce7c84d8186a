"""The layers that a hierarchy is made of, on vectors [B, C] or on feature maps [B, H, W, C]."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.networks.activations import ACTIVATIONS

tfkl = tf_keras.layers


def affine(rank: int, width: int, kernel: int = 3, **options: Any) -> tf_keras.layers.Layer:
    """A dense layer on vectors (`rank` 1), a convolution of stride one on feature maps (3).

    Args:
      rank: of an input without its batch axis.
      width: channels of the output.
      kernel: side of the convolution.
      **options: of the layer.
    """
    if rank == 1:
        return tfkl.Dense(width, **options)
    return tfkl.Conv2D(width, kernel, padding="same", **options)


def build(layer: tf_keras.layers.Layer, *input_shape: int) -> None:
    """Makes the weights of `layer` for inputs [B, *input_shape], unless it has them."""
    if not layer.built:
        with tf.name_scope(layer.name):
            layer.build((None, *input_shape))
        layer.built = True


@tf_keras.saving.register_keras_serializable("tfp_vae")
class Residual(tf_keras.layers.Layer):
    """x + f(act(x)) with one or two affine maps in f (He et al., "Identity mappings", 2016).

    The last kernel starts at 0: a block starts as the identity, and a chain of any length keeps the
    size of its signal without normalisation.

    Args:
      rank: as `affine` takes it.
      width: channels of input and output.
      activation: a name in `ACTIVATIONS`.
      maps: affine maps in f, 1 or 2.
    """

    def __init__(self, rank: int, width: int, activation: str, maps: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.rank, self.width, self.activation, self.maps = rank, width, activation, maps
        self._act = tf_keras.activations.get(activation)
        options = {"dtype": self.dtype_policy}
        self.first = None
        if maps > 1:
            act = ACTIVATIONS[activation]
            self.first = affine(rank, width, kernel=3, name="first", **act, **options)
        self.last = affine(rank, width, name="last", kernel_initializer="zeros", **options)

    def build(self, input_shape: Any) -> None:
        for layer in (self.first, self.last):
            if layer is not None:
                build(layer, *input_shape[1:])
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        y = self._act(x)
        return x + self.last(y if self.first is None else self.first(y))

    def get_config(self) -> dict[str, Any]:
        names = ("rank", "width", "activation", "maps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class PosteriorHead(tf_keras.layers.Layer):
    """Parameters of q(z_l | z_>l, x) from the state of the top-down path and features of x.

    Args:
      rank: as `Residual` takes it.
      width: channels of the hidden layer.
      activation: as `Residual` takes it.
      size: of the output, channels of a vector or of each position.
    """

    def __init__(self, rank: int, width: int, activation: str, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = width
        self._act = tf_keras.activations.get(activation)
        options = {"dtype": self.dtype_policy}
        self.hidden = affine(rank, width, 3, name="hidden", **ACTIVATIONS[activation], **options)
        # Small weights for vectors: q hardly depends on x at first, and so the first KL is small.
        # On feature maps larger ones learn faster.
        kernel = tf_keras.initializers.VarianceScaling(0.1 if rank == 1 else 1.0)
        self.last = affine(rank, size, name="last", kernel_initializer=kernel, **options)

    def build(self, input_shape: Any) -> None:
        """Makes the weights.

        Args:
          input_shape: of state and features, concatenated.
        """
        *sides, _ = input_shape[1:]
        build(self.hidden, *input_shape[1:])
        build(self.last, *sides, self.width)
        super().build(input_shape)

    def of_features(self, features: tf.Tensor) -> tf.Tensor:
        """What the features add to the hidden layer, the same for all states: [B, ..., width]."""
        x = self._act(tf.cast(features, self.compute_dtype))
        return self._mapped(x, slice(-x.shape[-1], None))

    def call(self, state: tf.Tensor, added: tf.Tensor) -> tf.Tensor:
        """The parameters for states [B, ..., C] and what `of_features` returned."""
        x = self._mapped(self._act(state), slice(None, state.shape[-1]))
        return self.last(self.hidden.activation(x + added + self.hidden.bias))

    def _mapped(self, x: tf.Tensor, channels: slice) -> tf.Tensor:
        """The part of the hidden layer's affine map that reads these of its input channels."""
        kernel = tf.cast(self.hidden.kernel, x.dtype)[..., channels, :]
        if x.shape.rank == 2:
            return tf.matmul(x, kernel)
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
