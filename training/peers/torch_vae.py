"""The same VAE in PyTorch, eager or through `torch.compile`, as one would write it by hand."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from protocol import Absent, serve
from torch_networks import Decoder, Encoder


class VAE(torch.nn.Module):
    """Grey images, uint8 [B, C, H, W], to the negative ELBO of a fresh binarisation, a scalar."""

    def __init__(self, settings):
        super().__init__()
        size = settings.latent_size
        self.size, self.full = size, settings.posterior == "multivariate_normal_tril"
        count = size + size * (size + 1) // 2 if self.full else 2 * size
        shape = settings.images.shape[1:]
        self.encoder = Encoder(settings.network, shape, count, settings.activation)
        self.decoder = Decoder(settings.network, shape, size, settings.activation)
        rows, columns = torch.tril_indices(size, size)
        self.register_buffer("place", rows * size + columns)
        self.bfloat16 = settings.bfloat16

    def forward(self, images):
        # 255 uniform whole numbers: P(draw < grey level) is the grey level / 255, exactly.
        x = (torch.rand(images.shape) * 255.0 < images).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            params = self.encoder(x)
        z, kl = self.posterior(params.float())
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits = self.decoder(z)
        nll = F.binary_cross_entropy_with_logits(
            logits.float().flatten(1), x.flatten(1), reduction="sum"
        )
        return (nll + kl.sum()) / len(x)

    def posterior(self, params):
        """A draw from q(z|x) [B, D], and KL(q(z|x) || N(0, I)) [B]."""
        mean, rest = params[:, : self.size], params[:, self.size :]
        noise = torch.randn_like(mean)
        if not self.full:
            scale = F.softplus(rest) + 1e-5
            kl = 0.5 * (mean.square() + scale.square() - 1).sum(1) - scale.log().sum(1)
            return mean + scale * noise, kl
        batch = len(params)
        raw = rest.new_zeros(batch, self.size**2).index_copy(1, self.place, rest)
        raw = raw.view(batch, self.size, self.size)
        diagonal = F.softplus(raw.diagonal(dim1=1, dim2=2)) + 1e-5
        below = raw.tril(-1)
        trace = below.square().sum((1, 2)) + diagonal.square().sum(1)
        kl = 0.5 * (mean.square().sum(1) + trace - self.size) - diagonal.log().sum(1)
        return mean + diagonal * noise + torch.bmm(below, noise[..., None])[..., 0], kl


def build(settings):
    torch.manual_seed(settings.seed)
    images = torch.from_numpy(settings.images).permute(0, 3, 1, 2).contiguous()
    vae = VAE(settings)
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
    serve(build)
