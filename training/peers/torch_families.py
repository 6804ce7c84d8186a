"""A VampPrior and the importance-weighted objective in PyTorch, over the VAE of `torch_vae`."""

import math

import torch
from families import FAMILIES
from torch_vae import VAE


def normal_log_prob(z, mean, scale):
    """Log N(z; mean, scale), summed over the last axis, nats."""
    squares = ((z - mean) / scale).square() + 2.0 * scale.log() + math.log(2.0 * math.pi)
    return -0.5 * squares.sum(-1)


class Vamp(VAE):
    """The prior is the mixture of q(z|u_k) at learned pseudo-inputs (Tomczak and Welling, 2018)."""

    def __init__(self, settings):
        super().__init__(settings)
        count = FAMILIES[settings.family]["prior_components"]
        images = torch.from_numpy(settings.images[:count]).permute(0, 3, 1, 2)
        self.pseudo_inputs = torch.nn.Parameter(images.float() / 255.0)

    def posterior(self, params):
        mean, scale = self.normal(params)
        z = mean + scale * torch.randn_like(mean)
        means, scales = self.normal(self.encoder(self.pseudo_inputs.clamp(0.0, 1.0)))
        components = normal_log_prob(z[:, None], means, scales)
        log_prior = components.logsumexp(1) - math.log(len(means))
        return z, normal_log_prob(z, mean, scale) - log_prior


class ImportanceWeighted(VAE):
    """The bound of K draws (Burda et al., 2016); the decoder runs once for each draw."""

    def __init__(self, settings):
        super().__init__(settings)
        self.count = FAMILIES[settings.family]["num_samples"]

    def forward(self, images):
        x = self.binarised(images)
        mean, scale = self.normal(self.encoder(x))
        noise = torch.randn(self.count, *mean.shape)
        z = mean + scale * noise
        log_weight = normal_log_prob(z, torch.zeros(()), torch.ones(()))
        log_weight = log_weight - normal_log_prob(z, mean, scale)
        pixels = self.decoder(z.flatten(0, 1)).flatten(1).view(self.count, len(x), -1)
        log_weight = log_weight - self.nll.of_each(pixels, x.flatten(1).expand_as(pixels))
        return (math.log(self.count) - log_weight.logsumexp(0)).mean()
