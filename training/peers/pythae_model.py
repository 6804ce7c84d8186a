"""Pythae's `VAE` and `BaseTrainer`, with the benchmark's networks and images."""

import importlib.metadata
import tempfile

import torch
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch_networks import Decoder, Encoder


class Trunk(BaseEncoder):
    def __init__(self, settings):
        super().__init__()
        self.trunk = Encoder(settings, 2 * settings.latent_size)

    def forward(self, x):
        mean, log_variance = self.trunk(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Pixels(BaseDecoder):
    def __init__(self, settings):
        super().__init__()
        self.trunk = Decoder(settings)

    def forward(self, z):
        return ModelOutput(reconstruction=torch.sigmoid(self.trunk(z)))


class Binarised(BaseDataset):
    """Images in memory as uint8; a batch of them is binarised at once."""

    def __init__(self, images):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.__getitems__([index])[0]

    def __getitems__(self, indices):
        images = self.images[indices]
        x = (torch.rand(images.shape) * 255.0 < images).float()
        return [DatasetOutput(data=image) for image in x]


def train(settings, clock):
    """Trains without end; calls `clock()` after every `settings.steps` steps."""
    shape = settings.images.shape[1:]
    config = VAEConfig(
        input_dim=(shape[2], *shape[:2]),
        latent_dim=settings.latent_size,
        reconstruction_loss="bce",
    )
    steps = 0

    class Turns(TrainingCallback):
        def on_train_step_end(self, training_config, **kwargs):  # after every batch
            nonlocal steps
            steps += 1
            if steps % settings.steps == 0:
                clock()

    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            VAE(config, Trunk(settings), Pixels(settings)),
            Binarised(settings.images),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                per_device_train_batch_size=settings.batch_size,
                learning_rate=1e-3,
                num_epochs=10**9,
                no_cuda=True,
            ),
            callbacks=[Turns()],
        )
        trainer.train()


def versions():
    return {"pythae": importlib.metadata.version("pythae"), "torch": torch.__version__}
