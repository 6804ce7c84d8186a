"""The trunks of `tfp_vae.networks` in PyTorch, channels first.

Height and width of images are multiples of two to the power of the number of levels.
"""

import math
from itertools import pairwise

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}
UNITS = (200, 200)


class Encoder(nn.Sequential):
    """Images [B, C, H, W] to the parameters of q(z|x) [B, count]."""

    def __init__(self, settings, count):
        act, levels = ACTIVATIONS[settings.activation], settings.filters
        height, width, channels = settings.images.shape[1:]
        layers = []
        if settings.likelihood == "independent_normal":  # binary images enter as they are
            layers.append(Standardise(settings.channel_means, settings.channel_deviations))
        features = UNITS[-1]
        if settings.network == "dense":
            layers.append(nn.Flatten())
            for before, after in pairwise((height * width * channels, *UNITS)):
                layers += [nn.Linear(before, after), act()]
        else:
            for before, after in pairwise((channels, *levels)):
                if settings.network == "resnet":
                    layers += [nn.Conv2d(before, after, 4, 2, padding=1), Block(after, act)]
                else:
                    layers += [nn.Conv2d(before, after, 3, 2, padding=1), act()]
            if settings.network == "resnet":
                layers.append(act())
            layers.append(nn.Flatten())
            features = levels[-1] * height * width // 4 ** len(levels)
        super().__init__(*layers, nn.Linear(features, count))


class Decoder(nn.Sequential):
    """Latents [B, D] to a number for each pixel: [B, C, H, W], or dense layers [B, C * H * W]."""

    def __init__(self, settings):
        act, levels, size = ACTIVATIONS[settings.activation], settings.filters, settings.latent_size
        height, width, channels = settings.images.shape[1:]
        layers = []
        if settings.network == "dense":
            for before, after in pairwise((size, *reversed(UNITS))):
                layers += [nn.Linear(before, after), act()]
            super().__init__(*layers, nn.Linear(UNITS[0], math.prod((height, width, channels))))
            return
        rows, columns = height // 2 ** len(levels), width // 2 ** len(levels)
        start = [nn.Linear(size, rows * columns * levels[-1])]
        unflatten = nn.Unflatten(1, (levels[-1], rows, columns))
        if settings.network == "resnet":
            for before, after in pairwise((*reversed(levels), channels)):
                layers += [Block(before, act), act()]
                layers.append(nn.ConvTranspose2d(before, after, 4, 2, padding=1))
        else:
            start.append(act())
            for before, after in pairwise((levels[-1], *reversed(levels))):
                layers.append(nn.ConvTranspose2d(before, after, 3, 2, padding=1, output_padding=1))
                layers.append(act())
            layers.append(nn.Conv2d(levels[0], channels, 3, padding=1))
        super().__init__(*start, unflatten, *layers)


class Standardise(nn.Module):
    """Images with mean 0 and variance 1 in each channel of the training images."""

    def __init__(self, means, deviations):
        super().__init__()
        self.register_buffer("means", torch.tensor(means)[:, None, None])
        self.register_buffer("deviations", torch.tensor(deviations)[:, None, None])

    def forward(self, x):
        return (x - self.means) / self.deviations


class Block(nn.Module):
    """x + conv(act(conv(act(x)))), which starts as the identity."""

    def __init__(self, filters, act):
        super().__init__()
        last = nn.Conv2d(filters, filters, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first = nn.Conv2d(filters, filters, 3, padding=1)
        self.residual = nn.Sequential(act(), first, act(), last)

    def forward(self, x):
        return x + self.residual(x)
