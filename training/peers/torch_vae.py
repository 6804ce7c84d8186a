"""The same VAE in PyTorch, eager or through `torch.compile`, as one would write it by hand."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from protocol import Absent, serve
from torch_networks import Decoder, Encoder


class FittedScale(torch.nn.Module):
    """-log N(x; mean, scale) of a batch; then the scale follows the mean squared error."""

    def __init__(self, deviation):
        super().__init__()
        self.register_buffer("variance", torch.tensor(deviation**2))

    def forward(self, mean, x):
        variance = self.variance.clamp(min=1e-6)
        error = F.mse_loss(mean, x)
        with torch.no_grad():
            self.variance.lerp_(error.detach(), 0.1)
        return 0.5 * x.numel() * (error / variance + torch.log(2.0 * math.pi * variance))


class Logits(torch.nn.Module):
    """-log Bernoulli(x; logits) of a batch."""

    def forward(self, logits, x):
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")

    def of_each(self, logits, x):
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


class VAE(torch.nn.Module):
    """Grey images, uint8 [B, C, H, W], to the negative ELBO, a scalar; binary pixels are drawn."""

    def __init__(self, settings):
        super().__init__()
        size = settings.latent_size
        self.size, self.full = size, settings.posterior == "multivariate_normal_tril"
        count = size + size * (size + 1) // 2 if self.full else 2 * size
        self.encoder = Encoder(settings, count)
        self.decoder = Decoder(settings)
        self.binary = settings.likelihood == "independent_bernoulli"
        self.nll = Logits() if self.binary else FittedScale(settings.deviation)
        rows, columns = torch.tril_indices(size, size)
        self.register_buffer("place", rows * size + columns)
        self.bfloat16 = settings.bfloat16
        deviations = torch.tensor(settings.channel_deviations)[:, None, None]
        self.register_buffer("noise", settings.input_noise * deviations)

    def forward(self, images):
        x = self.binarised(images) if self.binary else images.float() / 255.0
        # A Normal model's encoder has noise on its input, in standard deviations of the pixels.
        entering = x if self.binary else x + self.noise * torch.randn_like(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            params = self.encoder(entering)
        z, kl = self.posterior(params.float())
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            pixels = self.decoder(z)
        return (self.nll(pixels.float().flatten(1), x.flatten(1)) + kl.sum()) / len(x)

    def binarised(self, images):
        """Zeros and ones, float32, drawn afresh."""
        # 255 uniform whole numbers: P(draw < grey level) is the grey level / 255, exactly.
        return (torch.rand(images.shape) * 255.0 < images).float()

    def normal(self, params):
        """The mean and the standard deviation, [B, D] each, of a Normal with a diagonal scale."""
        mean, rest = params[:, : self.size], params[:, self.size :]
        return mean, F.softplus(rest) + 1e-5

    def posterior(self, params):
        """A draw from q(z|x) [B, D], and KL(q(z|x) || N(0, I)) [B]."""
        if not self.full:
            mean, scale = self.normal(params)
            kl = 0.5 * (mean.square() + scale.square() - 1).sum(1) - scale.log().sum(1)
            return mean + scale * torch.randn_like(mean), kl
        mean, rest = params[:, : self.size], params[:, self.size :]
        noise = torch.randn_like(mean)
        batch = len(params)
        raw = rest.new_zeros(batch, self.size**2).index_copy(1, self.place, rest)
        raw = raw.view(batch, self.size, self.size)
        diagonal = F.softplus(raw.diagonal(dim1=1, dim2=2)) + 1e-5
        below = raw.tril(-1)
        trace = below.square().sum((1, 2)) + diagonal.square().sum(1)
        kl = 0.5 * (mean.square().sum(1) + trace - self.size) - diagonal.log().sum(1)
        return mean + diagonal * noise + torch.bmm(below, noise[..., None])[..., 0], kl


def model(settings):
    """The model of a family."""
    if settings.family == "codes":
        from torch_codes import CodesVAE as Model
    elif settings.family == "prior-vamp":
        from torch_families import Vamp as Model
    elif settings.family.startswith("iwae"):
        from torch_families import ImportanceWeighted as Model
    else:
        Model = VAE  # noqa: N806
    return Model(settings)


def build(settings):
    torch.manual_seed(settings.seed)
    images = torch.from_numpy(settings.images).permute(0, 3, 1, 2).contiguous()
    # oneDNN's convolutions are faster in this layout.
    vae = model(settings).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, eps=1e-7, fused=True)
    loss_of = vae
    if settings.variant == "compile":
        loss_of = torch.compile(vae)
        try:
            loss_of(images[: settings.batch_size]).backward()
        except torch._dynamo.exc.TorchDynamoException as error:
            raise Absent(f"torch.compile: {str(error).splitlines()[0]}") from error

    def train(clock):
        steps = 0
        while True:
            order = torch.randperm(len(images))
            for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
                batch = images[order[start : start + settings.batch_size]]
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(batch)
                loss.backward()
                optimizer.step()
                steps += 1
                if steps % settings.steps == 0:
                    if not math.isfinite(loss.item()):
                        raise RuntimeError("the loss is not finite")
                    clock()

    return {"torch": torch.__version__}, train


if __name__ == "__main__":
    serve(build, families=("", "codes", "iwae-5", "iwae-50", "prior-vamp"))
