"""The generative path of a hierarchy of latents: from the top level down to p(x|z)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks.blocks import PosteriorHead, Residual, affine, build

MIN_SCALE = 1e-5  # of the standard deviation of p(z_l | z_>l)
ONE = math.log(math.expm1(1.0))  # softplus(ONE) = 1

Shape = tuple[int, ...]  # (D,) of a vector of latents, (H, W, C) of a feature map of them


class TopDown(tf_keras.layers.Layer):
    """p(z_l | z_>l) of each level below the top, and the parameters of p(x|z).

    A state h passes through the levels, the top one, L, first. It starts as a learned constant;
    each level moves it by its latents z_l, then transforms it by a residual block ("Very deep
    VAEs", Child, 2021):

        z_l = m_l(h) + s_l(h) u_l,    h <- block_l(h + W_l z_l),

    so that p(z_l | z_>l) = N(m_l, s_l^2) where u_l is standard normal. At the top m = 0 and s = 1.

    Latents are given as u, not z: each in units of its prior, given those above it. That is the
    same model (Kingma and Welling, "Efficient gradient-based inference through transformations
    between Bayes nets and neural nets", 2014), and moving a latent by 1 moves it by one standard
    deviation of its prior at every level; the levels below follow.

    Subclasses define `enter` and `parameters`.

    Args:
      level_shapes: of the latents of each level, the top one first.
      widths: channels of the state at each level.
      activation: a name in `ACTIVATIONS`.
      maps: as `Residual` takes it.

    Attributes:
      sizes: the number of latents of each level, the top one first.
      feature_shapes: of the features of an image that the posterior's levels look at.
      feature_of: the index in them for each level.
    """

    feature_shapes: list[Shape]
    feature_of: list[int]

    def __init__(
        self,
        level_shapes: Sequence[Sequence[int]],
        widths: Sequence[int],
        activation: str,
        maps: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False})  # latents stay float32
        self.level_shapes = [tuple(shape) for shape in level_shapes]
        self.sizes = [math.prod(shape) for shape in self.level_shapes]
        self.widths, self.activation, self.maps = list(widths), activation, maps
        self._act = tf_keras.activations.get(activation)
        rank, policy = len(self.level_shapes[0]), self.dtype_policy
        self.moments, self.merges, self.blocks = [], [], []
        for index, (shape, width) in enumerate(zip(self.level_shapes, widths, strict=True)):
            name = f"level_{len(self.sizes) - index}"
            if index:  # p(z_l | z_>l) starts as N(0, I)
                self.moments.append(
                    affine(
                        rank,
                        2 * shape[-1],
                        name=f"{name}_moments",
                        kernel_initializer="zeros",
                        dtype=policy,
                    )
                )
            self.merges.append(affine(rank, width, 1, name=f"{name}_merge", dtype=policy))
            self.blocks.append(
                Residual(rank, width, activation, maps, name=f"{name}_block", dtype=policy)
            )

    def build(self, input_shape: Any) -> None:
        shapes = [
            (*shape[:-1], width)
            for shape, width in zip(self.level_shapes, self.widths, strict=True)
        ]
        self.first_state = self.add_weight("first_state", shape=shapes[0], initializer="zeros")
        for index, shape in enumerate(shapes):
            self.build_entry(index)
            if index:
                build(self.moments[index - 1], *shape)
            build(self.merges[index], *self.level_shapes[index])
            build(self.blocks[index], *shape)
        self.build_last(*shapes[-1])
        super().build(input_shape)

    def build_entry(self, index: int) -> None:
        """Makes the weights of `enter` for level `index`, if it has any."""

    def build_last(self, *shape: int) -> None:
        """Makes the weights of `parameters`, for the last state [B, *shape]."""
        raise TypeError(f"{type(self).__name__} does not define build_last()")

    def enter(self, index: int, state: tf.Tensor) -> tf.Tensor:
        """The state as level `index` (0 is the top) needs it: of its resolution and width."""
        raise TypeError(f"{type(self).__name__} does not define enter()")

    def parameters(self, state: tf.Tensor) -> tf.Tensor:
        """Parameters of p(x|z) from the last state, as `Network.decode` returns them."""
        raise TypeError(f"{type(self).__name__} does not define parameters()")

    def set_start(self, start: np.ndarray) -> None:
        """Sets the parameters that every latent decodes to before training: [P, H, W, C]."""
        raise TypeError(f"{type(self).__name__} does not define set_start()")

    def walk(self, latents_of: Callable[[int, tf.Tensor], tf.Tensor], batch: tf.Tensor) -> Any:
        """The last state h, after all levels.

        Args:
          latents_of: called with the index of each level, 0 for the top, and the state there;
            returns its latents u_l, float32 [B, D_l].
          batch: B.
        """
        state = self.first(batch)
        for index, shape in enumerate(self.level_shapes):
            state = self.enter(index, state)
            u = tf.reshape(latents_of(index, state), [-1, *shape])
            mean, scale = self.conditional(index, state)
            z = tf.cast(mean + scale * u, self.compute_dtype)
            state = self.blocks[index](state + self.merges[index](z))
        return state

    def first(self, batch: tf.Tensor) -> tf.Tensor:
        """The constant that the state starts as, for a batch of B."""
        first = tf.cast(self.first_state, self.compute_dtype)[tf.newaxis]
        return tf.repeat(first, batch, axis=0)

    def conditional(self, index: int, state: tf.Tensor) -> tuple[Any, Any]:
        """Mean and standard deviation of p(z_l | z_>l), float32 [B, *level_shapes[index]]."""
        if not index:
            return 0.0, 1.0
        moments = tf.cast(self.moments[index - 1](self._act(state)), tf.float32)
        mean, raw = tf.split(moments, 2, axis=-1)
        return mean, tf.math.softplus(raw + ONE) + MIN_SCALE

    def call(self, latents: tf.Tensor) -> tf.Tensor:
        """Parameters of p(x|z) at latents u, float32 [B, D], the top level first."""
        parts = tf.split(latents, self.sizes, axis=-1)
        return self.parameters(self.walk(lambda index, _: parts[index], tf.shape(latents)[0]))

    def posterior_head(self, index: int, size: int) -> PosteriorHead:
        """What makes `size` channels of parameters of q(z_l | z_>l, x)."""
        rank, width = len(self.level_shapes[index]), self.widths[index]
        name = f"level_{len(self.sizes) - index}_posterior"
        return PosteriorHead(rank, width, self.activation, size, name=name, dtype=self.dtype_policy)

    def build_head(self, head: PosteriorHead, index: int) -> None:
        """Makes the weights of what `posterior_head` returned for level `index`."""
        *sides, channels = self.feature_shapes[self.feature_of[index]]
        build(head, *sides, channels + self.widths[index])

    def get_config(self) -> dict[str, Any]:
        names = ("level_shapes", "widths", "activation", "maps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
