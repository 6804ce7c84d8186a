"""Every setting of a run, its flag, its default and what it accepts. Imports no TensorFlow."""

import dataclasses
import math
import re
import sys
from typing import Annotated, Literal

import cyclopts

# One flag for each field of a dataclass, without a prefix.
FLAGS = cyclopts.Parameter(name="*")


class InputError(ValueError):
    """Bad input; the message is one line that names it and says what is accepted."""


def _integers(_, tokens):
    """Exact integers; the CLI library would round 3.5 to 4."""
    for token in tokens:
        if not re.fullmatch(r"[+-]?[0-9]+", token.value):
            raise ValueError(f'"{token.value}" is not an integer.')
    return tuple(int(token.value) for token in tokens)


def _integer(_, tokens):
    return _integers(_, tokens)[0]


Integer = Annotated[int, cyclopts.Parameter(converter=_integer)]
Integers = Annotated[
    tuple[int, ...], cyclopts.Parameter(converter=_integers, consume_multiple=True)
]


class TrainingError(RuntimeError):
    """Training failed; the message is one line that says what and where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one run; each field is a flag, `likelihood_scale` is `--likelihood-scale`."""

    dataset: str = "digits"
    """`digits` (1,797 real 8x8 digits, no network needed); a TFDS name such as `mnist`; a folder
    of PNG or JPEG files, searched recursively; a `.npz` with `train` and optionally `validation`
    and `test`, or a `.npy`: images [N,H,W] or [N,H,W,C], uint8 0..255 or float 0..1."""

    data_dir: str | None = None
    """Where TFDS keeps its data; by default where TFDS itself looks (TFDS_DATA_DIR)."""

    image_size: Integer | None = None
    """Side in pixels to crop and resize images to; needed for files that differ in size."""

    network: Literal["dense", "conv"] = "dense"
    """What encoder and decoder are made of."""

    hidden_units: Integers = (200, 200)
    """Hidden layers of the dense network, the decoder's in reverse; none after the flag: linear."""

    latent_size: Integer = 16
    """Number of latents."""

    posterior: Literal["multivariate_normal_tril", "independent_normal", "deterministic"] = (
        "multivariate_normal_tril"
    )
    """Family of q(z|x); `deterministic` is a plain autoencoder, with no KL."""

    likelihood: Literal["independent_bernoulli", "continuous_bernoulli", "independent_normal"] = (
        "independent_bernoulli"
    )
    """Family of p(x|z). Bernoulli pixels are binarised: afresh in training, once for evaluation."""

    likelihood_scale: Literal["shared", "per_pixel"] | float = "shared"
    """Standard deviation of a normal likelihood: one learned, one for each pixel, or a number."""

    kl: Literal["exact", "monte_carlo"] = "exact"
    """How the KL from the prior is computed."""

    beta: float = 1.0
    """Weight of the KL in the loss; 1 makes the loss the negative ELBO."""

    kl_warmup_epochs: Integer = 0
    """Epochs over which that weight rises linearly from 0 to beta."""

    epochs: Integer = 200
    """Passes over the training images."""

    batch_size: Integer = 64
    """Images in a training step."""

    learning_rate: float = 1e-3
    """Adam's step size."""

    seed: Integer = 0
    """Decides the initial weights, the splits, the order of the images and all noise."""

    name: str | None = None
    """Name of the run's folder; by default the data set's name."""

    output_dir: str = "saved_models"
    """Where runs are kept, as OUTPUT_DIR/NAME/VERSION."""

    resume: bool = False
    """Continue the unfinished run of this name."""

    restart: bool = False
    """Discard the unfinished run of this name, and start anew."""

    mixed_precision: bool = False
    """Compute in bfloat16 where that is safe; distributions and weights stay float32."""

    jit_compile: Literal["auto", "true", "false"] = "auto"
    """Compile with XLA; `auto` does so for the dense network, which it makes faster."""

    def __post_init__(self):
        for field in ("latent_size", "epochs", "batch_size"):
            self._require(field, getattr(self, field) >= 1, "an integer >= 1")
        self._require("image_size", self.image_size is None or self.image_size >= 8, "at least 8")
        units = all(size >= 1 for size in self.hidden_units)
        self._require("hidden_units", units, "integers >= 1, or none")
        self._require("kl_warmup_epochs", self.kl_warmup_epochs >= 0, "an integer >= 0")
        self._require("seed", 0 <= self.seed < 2**31, "an integer from 0 to 2147483647")
        self._require("beta", 0 <= self.beta < math.inf, "a number >= 0")
        self._require("learning_rate", 0 < self.learning_rate < math.inf, "a number > 0")
        if not isinstance(self.likelihood_scale, str):
            scale = 1e-3 <= self.likelihood_scale < math.inf
            self._require("likelihood_scale", scale, "shared, per_pixel, or a number >= 0.001")
        if self.network != "dense" and self.hidden_units != Config.hidden_units:
            raise InputError(f"--hidden-units: only for --network dense, not {self.network}")
        if self.likelihood_scale != "shared" and self.likelihood != "independent_normal":
            raise InputError(
                f"--likelihood-scale {self.likelihood_scale}: only for --likelihood "
                f"independent_normal, not {self.likelihood}"
            )
        name = "" if self.name is None else self.name
        plain = self.name is None or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
        self._require("name", plain, "letters, digits, '.', '_' and '-', not starting with '.'")
        self._require("dataset", self.dataset.strip(), "a name, a folder, a .npz or a .npy")
        self._require("output_dir", self.output_dir.strip(), "a folder")
        if self.resume and self.restart:
            raise InputError("--resume --restart: give one of them")

    def _require(self, field, holds, accepted):
        if not holds:
            value = getattr(self, field)
            value = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise InputError(f"--{field.replace('_', '-')} {value}: expected {accepted}")

    @property
    def run_name(self):
        """`name`, or one made from the data set's: `photos` for ../photos, `x` for x.npz."""
        if self.name is not None:
            return self.name
        stem = re.sub(r"\.np[yz]$", "", self.dataset.rstrip("/").rsplit("/", 1)[-1])
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-_") or "run"


def run_command(command, name, argv=None):
    """Runs `command`, whose parameters are flags; bad input is one line on stderr, and 2."""
    flags = cyclopts.Parameter(negative=())
    app = cyclopts.App(name=f"python -m {name}", version_flags=(), default_parameter=flags)
    app.default(command)
    try:
        app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except (cyclopts.CycloptsError, InputError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
