"""Every setting of a run: its flag, default, accepted values and help. Imports no TensorFlow."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import pydantic
from cyclopts import Group, Parameter
from pydantic import AfterValidator, Field

from tfp_vae.cli.app import flag
from tfp_vae.errors import InputError
from tfp_vae.models import MODELS_OF_CODES, PARTS
from training.values import ONE_OR_SEVERAL, OR_AUTO, colour_name, path, plain_name

FLOAT32_MAX = 3e38  # settings become float32, in which larger numbers are infinite

DATA, MODEL, OBJECTIVE, TRAINING, RUN = (
    Parameter(group=Group(name, sort_key=key))
    for key, name in enumerate(("Data", "Model", "Objective", "Training", "Run"))
)
# The KL in summaries, by its form; the last two for no KL, and for a run of version 0.1.0.
KL_NAMES = {"exact": "kl (exact)", "monte_carlo": "kl (Monte Carlo)", "none": "kl", "unknown": "kl"}
# One flag for each field of a model of settings, without a prefix.
FLAGS = Parameter(name="*")


def _part_fields() -> Iterator[tuple[str, Any]]:
    """A field for each kind of part and for each option of any part: (name, (type, default))."""
    for kind, registry in PARTS.items():
        auto = ("auto",) if registry.auto else ()
        names = Literal[(*auto, *registry)]  # type: ignore[valid-type]
        default = "auto" if registry.auto else registry.default
        group = OBJECTIVE if kind == "objective" else MODEL
        yield kind, (Annotated[names, group, Field(description=registry.help)], default)
        for name, option in registry.options.items():
            # A flag such as --hidden-units takes every value up to the next flag, or none.
            flag = Parameter(consume_multiple=True)
            annotated = Annotated[option.type, group, flag, Field(description=option.help)]
            if option.auto:
                annotated = Annotated[annotated, *OR_AUTO]
            yield name, (annotated, "auto" if option.auto else option.default)


class Settings(pydantic.BaseModel):
    """Settings that are flags: immutable, and only those that are declared."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


PartSettings: Any = pydantic.create_model(
    "PartSettings", __base__=Settings, __module__=__name__, **dict(_part_fields())
)


class Config(PartSettings):
    """The settings of one run; each field is a flag, `likelihood_scale` is `--likelihood-scale`.

    The parts of the model and their options are fields too: `tfp_vae.models.PARTS` declares them.

    Raises:
      pydantic.ValidationError: a value that is not accepted, or settings that exclude each other.
    """

    dataset: Annotated[str, DATA, AfterValidator(path)] = "digits"
    """`digits` (1,797 real 8x8 digits, no network needed); a TFDS name such as `mnist`; a folder
    of PNG or JPEG files, searched recursively; a `.npz` with `train` and optionally `validation`
    and `test`, or a `.npy`: images [N,H,W] or [N,H,W,C], uint8 0..255 or float 0..1."""

    data_dir: Annotated[Annotated[str, AfterValidator(path)] | None, DATA] = None
    """Where TFDS keeps its data; by default where TFDS itself looks (TFDS_DATA_DIR)."""

    image_size: Annotated[Annotated[int, Field(ge=8, le=4096)] | None, DATA] = None
    """Side in pixels to crop and resize images to; needed for files that differ in size."""

    background: Annotated[str, DATA, AfterValidator(colour_name)] = "black"
    """What transparent images are composited on: a colour name such as `white`, or #rrggbb."""

    skip_damaged: Annotated[bool, DATA] = False
    """Train without the damaged files of a folder; by default they end the run."""

    mirror: Annotated[bool, DATA] = False
    """Mirror each training image, left to right, with probability 1/2, afresh in each pass: for
    images that are as likely mirrored, such as faces."""

    latent_size: Annotated[
        tuple[Annotated[int, Field(ge=1, lt=2**31)], ...], MODEL, *ONE_OR_SEVERAL
    ] = cast(Any, 16)
    """Number of latents; of a dense hierarchy that of each level, from the image up: `32 16` has 16
    at the top, and one number has half as many above it."""

    kl: Annotated[Literal["auto", "exact", "monte_carlo"], OBJECTIVE] = "auto"
    """How the KL from the prior is computed: `auto` in closed form where TensorFlow Probability
    has one, otherwise by Monte Carlo."""

    beta: Annotated[float, OBJECTIVE, Field(ge=0, le=FLOAT32_MAX)] = 1.0
    """Weight of the KL in the loss; 1 makes the loss the negative ELBO."""

    kl_warmup_epochs: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], OBJECTIVE, *ONE_OR_SEVERAL
    ] = cast(Any, 0)
    """Epochs over which the weight of the KL rises linearly from 0 to beta; of a hierarchy perhaps
    those of each level, from the image up."""

    kl_balance_epochs: Annotated[int, OBJECTIVE, Field(ge=0, lt=2**31)] = 0
    """Epochs over which levels of a hierarchy are kept from falling out of use: the weight of a
    level begins in proportion to its KL, and ends as that of the others."""

    epochs: Annotated[int, TRAINING, Field(ge=1, lt=2**31), *OR_AUTO] = "auto"
    """Passes over the training images; `auto`: enough steps for the network and the images."""

    patience: Annotated[int, TRAINING, Field(ge=0, lt=2**31), *OR_AUTO] = "auto"
    """Epochs without a better `val_elbo` after which training ends; 0 for never; `auto`: a fifth
    of the epochs where their number is `auto` too, otherwise never."""

    prior_epochs: Annotated[Annotated[int, Field(ge=0, lt=2**31)] | None, TRAINING] = None
    """Passes to fit the prior of codes, after those of the model; by default as many; 0 leaves it
    uniform."""

    batch_size: Annotated[int, TRAINING, Field(ge=1, lt=2**31)] = 64
    """Images in a training step, of all devices together."""

    # Smaller step sizes are 0 in float32 under XLA.
    learning_rate: Annotated[float, TRAINING, Field(ge=1e-37, le=FLOAT32_MAX)] = 1e-3
    """Adam's step size."""

    learning_rate_schedule: Annotated[Literal["auto", "constant", "cosine"], TRAINING] = "auto"
    """`cosine` lowers the step size to 0 over the run, along half a cosine; `auto`: `constant`
    where the number of epochs is given and the likelihood has no scale, otherwise `cosine`."""

    seed: Annotated[int, TRAINING, Field(ge=0, lt=2**31)] = 0
    """Decides the initial weights, the splits, the order of the images and all noise."""

    mixed_precision: Annotated[bool, TRAINING] = False
    """Compute in bfloat16 where that is safe; distributions and weights stay float32."""

    jit_compile: Annotated[Literal["auto", "true", "false"], TRAINING] = "auto"
    """Compile with XLA; `auto` does so for the dense network on one device: it is faster."""

    strategy: Annotated[Literal["none", "mirrored", "multi_worker"], TRAINING] = "none"
    """Train on one device; on all of this machine's; or on every worker that TF_CONFIG names."""

    name: Annotated[Annotated[str, AfterValidator(plain_name)] | None, RUN] = None
    """Name of the run's folder; by default the data set's name."""

    output_dir: Annotated[str, RUN, AfterValidator(path)] = "saved_models"
    """Where runs are kept, as OUTPUT_DIR/NAME/VERSION; made in the current folder by default."""

    resume: Annotated[bool, RUN] = False
    """Continue the unfinished run of this name."""

    restart: Annotated[bool, RUN] = False
    """Discard the unfinished run of this name, and start anew."""

    @pydantic.model_validator(mode="after")
    def _check_combinations(self) -> Self:
        for kind, registry in PARTS.items():
            values = {name: getattr(self, name) for name in registry.options}
            given = {name: value for name, value in values.items() if value != "auto"}
            if getattr(self, kind) != "auto":
                registry.arguments(getattr(self, kind), given)
        for name in ("latent_size", "kl_warmup_epochs"):
            given = getattr(self, name)
            if self.model != "hierarchical" and isinstance(given, tuple):
                numbers = " ".join(map(str, given))
                raise InputError(f"{name} {numbers}: only for model hierarchical: expected one")
        if self.prior_epochs is not None and self.model not in MODELS_OF_CODES:
            raise InputError(
                f"prior_epochs {self.prior_epochs}: only for model {', '.join(MODELS_OF_CODES)}"
            )
        of_codes = self.model in MODELS_OF_CODES
        if self.kl_warmup_epochs and (of_codes or self.posterior == "deterministic"):
            why = "that of codes is a number" if of_codes else "posterior deterministic has no KL"
            raise InputError(f"kl_warmup_epochs {self.kl_warmup_epochs}: {why}: expected 0")
        if self.jit_compile == "true" and self.strategy != "none":
            raise InputError(f"jit_compile true: only for strategy none, not {self.strategy}")
        if self.resume and self.restart:
            raise InputError("--resume --restart: give one of them")
        return self

    @property
    def chosen_later(self) -> list[str]:
        """The settings that `training.choices` replaces: those that are `auto` still."""
        kinds = [kind for kind, registry in PARTS.items() if registry.auto]
        options = [
            name
            for registry in PARTS.values()
            for name, option in registry.options.items()
            if option.auto
        ]
        names = (*kinds, *options, "epochs", "patience", "learning_rate_schedule")
        found = [name for name in names if getattr(self, name) == "auto"]
        # On feature maps, the default posterior of vectors counts as not given.
        vectors = self.model != "hierarchical" or self.network == "dense"
        if not vectors and self.posterior == PARTS["posterior"].default:
            found.append("posterior")
        return found

    @property
    def part_options(self) -> dict[str, Any]:
        """The options of the chosen parts, as `tfp_vae.build_vae` takes them."""
        return {
            name: getattr(self, name)
            for kind, registry in PARTS.items()
            if getattr(self, kind) != "auto"
            for name in registry[getattr(self, kind)].options
        }

    def flags(self, without: Sequence[str] = ()) -> list[str]:
        """The words of a command that gives the settings other than the defaults.

        Args:
          without: settings to leave out.
        """
        words = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in without or value == field.default:
                continue
            if isinstance(value, str) and value.startswith("-"):
                words.append(f"{flag(name)}={value}")
                continue
            words.append(flag(name))
            if value is not True:
                words += map(str, value) if isinstance(value, tuple) else [str(value)]
        return words

    @property
    def run_name(self) -> str:
        """`name`, or one made from the data set's: `photos` for ../photos, `x` for x.npz."""
        if self.name is not None:
            return self.name
        stem = re.sub(r"(?i)\.np[yz]$", "", re.split(r"[/\\]", self.dataset.rstrip("/\\"))[-1])
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-_")[:100] or "run"
        return re.sub(r"\.incomplete$", "-incomplete", name)

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """The settings in a run's `config.json`, read strictly.

        Raises:
          InputError: anything but the settings of a run; the message names the file and the key.
        """
        from training import config_json

        return cls(**config_json.read(path).model_dump(include=set(cls.model_fields)))
