"""The trunks of `tfp_vae.networks` in PyTorch, channels first."""

import math
from itertools import pairwise

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
UNITS = (200, 200)
FILTERS = (32, 64)


class Encoder(nn.Sequential):
    """Images [B, C, H, W] to the parameters of q(z|x) [B, count]."""

    def __init__(self, network, shape, count, activation):
        act, (height, width, channels) = ACTIVATIONS[activation], shape
        if network == "dense":
            sizes = (math.prod(shape), *UNITS)
            hidden = [nn.Flatten()]
            for before, after in pairwise(sizes):
                hidden += [nn.Linear(before, after), act()]
            features = sizes[-1]
        else:
            hidden, before = [], channels
            for filters in FILTERS:
                hidden += [nn.Conv2d(before, filters, 3, stride=2, padding=1), act()]
                before = filters
            hidden.append(nn.Flatten())
            features = before * -(-height // 4) * -(-width // 4)
        super().__init__(*hidden, nn.Linear(features, count))


class Decoder(nn.Sequential):
    """Latents [B, D] to logits [B, C, H, W], or [B, C * H * W]."""

    def __init__(self, network, shape, size, activation):
        act, (height, width, channels) = ACTIVATIONS[activation], shape
        if network == "dense":
            layers, sizes = [], (size, *reversed(UNITS))
            for before, after in pairwise(sizes):
                layers += [nn.Linear(before, after), act()]
            layers.append(nn.Linear(sizes[-1], math.prod(shape)))
        else:
            rows, columns = height // 4, width // 4  # MNIST's are multiples of four
            before = FILTERS[-1]
            layers = [nn.Linear(size, rows * columns * before), act()]
            layers.append(nn.Unflatten(1, (before, rows, columns)))
            for filters in reversed(FILTERS):
                layers += [
                    nn.ConvTranspose2d(before, filters, 3, 2, padding=1, output_padding=1),
                    act(),
                ]
                before = filters
            layers.append(nn.Conv2d(before, channels, 3, padding=1))
        super().__init__(*layers)
