"""Every setting of a run, its flag, its default and what it accepts. Imports no TensorFlow."""

import dataclasses
import os
import re
import sys
from typing import Annotated, Literal

import cyclopts

FLOAT32_MAX = 3e38  # settings become float32, where more is infinite

# One flag for each field of a dataclass, without a prefix.
FLAGS = cyclopts.Parameter(name="*")


class InputError(ValueError):
    """Bad input; the message is one line that names it and says what is accepted."""


def _is_path(text):
    """Whether the system can be asked for a file of that name, there or not."""
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError:
        return False
    fits = len(name) < 4096 and max(map(len, name.split(b"/"))) <= 255
    return bool(text.strip()) and b"\0" not in name and fits


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


class Interrupted(Exception):  # noqa: N818  (no error: someone asked for it)
    """A signal, whose number is `number`, ended the run; the message is one line."""

    def __init__(self, number, message=""):
        super().__init__(message)
        self.number = number


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

    activation: Literal["relu", "tanh"] = "relu"
    """What follows each hidden layer."""

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
    """Images in a training step, of all devices together."""

    learning_rate: float = 1e-3
    """Adam's step size."""

    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lowers the step size to 0 over the run, along half a cosine."""

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
    """Compile with XLA; `auto` does so for the dense network on one device: it is faster."""

    strategy: Literal["none", "mirrored", "multi_worker"] = "none"
    """Train on one device; on all of this machine's; or on every worker that TF_CONFIG names."""

    def __post_init__(self):
        for field in ("latent_size", "epochs", "batch_size"):
            self._require(field, getattr(self, field) >= 1, "an integer >= 1")
        side = self.image_size is None or 8 <= self.image_size <= 4096
        self._require("image_size", side, "from 8 to 4096")
        units = all(size >= 1 for size in self.hidden_units)
        self._require("hidden_units", units, "integers >= 1, or none")
        self._require("kl_warmup_epochs", self.kl_warmup_epochs >= 0, "an integer >= 0")
        self._require("seed", 0 <= self.seed < 2**31, "an integer from 0 to 2147483647")
        for field in ("latent_size", "epochs", "batch_size", "kl_warmup_epochs"):
            self._require(field, getattr(self, field) < 2**31, "an integer below 2147483648")
        self._require("hidden_units", max(self.hidden_units, default=1) < 2**31, "below 2147483648")
        self._require("beta", 0 <= self.beta <= FLOAT32_MAX, "a number from 0 to 3e38")
        rate = 1e-37 <= self.learning_rate <= FLOAT32_MAX  # less is 0 in float32 under XLA
        self._require("learning_rate", rate, "a number > 0, from 1e-37 to 3e38")
        if not isinstance(self.likelihood_scale, str):
            scale = 1e-3 <= self.likelihood_scale <= FLOAT32_MAX
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
        self._require("dataset", _is_path(self.dataset), "a name, a folder, a .npz or a .npy")
        self._require("output_dir", _is_path(self.output_dir), "a folder")
        self._require("data_dir", self.data_dir is None or _is_path(self.data_dir), "a folder")
        if self.jit_compile == "true" and self.strategy != "none":
            raise InputError(f"--jit-compile true: only for --strategy none, not {self.strategy}")
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
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-_")[:100] or "run"

    @classmethod
    def from_json(cls, path):
        """The settings in a run's `config.json`, read strictly.

        Raises:
          InputError: anything but the settings of a run; the message names the file and the key.
        """
        from training import config_json  # which needs this module

        return config_json.read(path)


def _input_errors():
    """What bad input raises: tfp_vae's own only where it was imported, which takes seconds."""
    of_tfp_vae = sys.modules.get("tfp_vae.errors")
    own = (cyclopts.CycloptsError, InputError)
    return (*own, of_tfp_vae.InputError) if of_tfp_vae else own


def run_command(command, name, argv=None):
    """Runs `command`, whose parameters are flags; bad input is one line on stderr, and 2."""
    flags = cyclopts.Parameter(negative=())
    app = cyclopts.App(name=f"python -m {name}", version_flags=(), default_parameter=flags)
    app.default(command)
    try:
        app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except _input_errors() as error:
        return _say(error, 2)
    except TrainingError as error:
        return _say(error, 1)
    except Interrupted as interruption:
        return _say(interruption, 128 + interruption.number)  # as a shell says of a signal
    return 0


def _say(error, status):
    line = " ".join(str(error).split())
    # A name may hold what a terminal would obey.
    print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), file=sys.stderr)
    return status
