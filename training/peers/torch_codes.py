"""The VQ-VAE in PyTorch, with the quantiser of vector-quantize-pytorch."""

import torch.nn.functional as F  # noqa: N812
from families import FAMILIES
from torch import nn
from torch_networks import ACTIVATIONS, Decoder, Encoder
from torch_vae import VAE
from vector_quantize_pytorch import VectorQuantize

COMMITMENT = 0.25  # once for each value of an image
DEAD_SHARE = 0.1  # a code with a smaller share of the average count is replaced


class CodesVAE(VAE):
    """Grey images, uint8 [B, C, H, W], to -log p(x|codes) and the commitment, a scalar."""

    def __init__(self, settings):
        super().__init__(settings)
        options, levels = FAMILIES[settings.family], settings.filters
        self.encoder = nn.Sequential(
            *list(Encoder(settings, 1))[:-2],  # without the flattening and the dense layer
            nn.Conv2d(levels[-1], options["code_size"], 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(options["code_size"], levels[-1], 3, padding=1),
            ACTIVATIONS[settings.activation](),
            *list(Decoder(settings))[3:],  # without the dense layer and its activation
        )
        positions = settings.images[0, ..., 0].size // 4 ** len(levels)
        average = settings.batch_size * positions / options["codebook_size"]
        self.quantizer = VectorQuantize(
            dim=options["code_size"],
            codebook_size=options["codebook_size"],
            decay=0.99,
            commitment_weight=COMMITMENT,
            kmeans_init=True,
            threshold_ema_dead_code=DEAD_SHARE * average,
            accept_image_fmap=True,
        )

    def forward(self, images):
        x = self.binarised(images)
        embedded, _, commitment = self.quantizer(self.encoder(x))
        logits = self.decoder(embedded)
        nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        return nll + x[0].numel() * commitment.sum()
