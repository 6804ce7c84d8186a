"""What a checkpoint holds is all that training depends on; and what is read where it is torn."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import small_vae

from training.config import Config
from training.data import splits as data
from training.errors import Interrupted, TrainingError
from training.run import checkpoints, loop
from training.run.checkpoints import BestWeights, Checkpoints
from training.run.folder import Run
from training.run.interrupts import Interrupts

EPOCHS, STEPS, SEEN_AT = 4, 20, 36  # a look comes after steps 16 and 20 of each epoch


class AtStep(Interrupts):
    """An `Interrupts` whose signal comes once the model has done some steps."""

    def __init__(self, model, step):
        self._iterations, self._step = model.optimizer.iterations, step

    @property
    def number(self):
        return 15 if int(self._iterations) >= self._step else None


def new_run(folder):
    folder.mkdir()
    return Run(folder, folder.with_suffix(""), resumed=None)


def trained(config, splits, run, stop_at=None):
    """A new model, trained until it is interrupted or done."""
    model = loop.build(config, splits.train, tf.distribute.get_strategy())
    validation = splits.evaluation_batches("validation", 40, config.seed)
    interrupts = AtStep(model, stop_at) if stop_at else Interrupts()
    loop.train(model, splits, validation, config, run, interrupts)
    return model


def everything(model):
    """Every number that training moves, with its name."""
    kept = [*model.variables, *model.optimizer.variables, model.kl_weight]
    kept += [layer._draws for layer in model.submodules if hasattr(layer, "_draws")]
    return [(variable.name, variable.numpy()) for variable in kept]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"network": "dense", "kl": "monte_carlo", "hidden_units": (8,)}, marks=pytest.mark.slow
        ),
        {"network": "conv", "posterior": "independent_normal"},
    ],
    ids=["dense", "conv"],
)
def test_what_is_continued_in_mid_epoch_is_what_was_never_stopped(options, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAX_SAVE_FRACTION", float("inf"))  # save after each epoch
    np.savez(tmp_path / "x.npz", train=np.random.default_rng(0).random((200, 8, 8)))
    config = Config(
        dataset=str(tmp_path / "x.npz"),
        **{"epochs": EPOCHS, "batch_size": 8, "latent_size": 2, "seed": 3},
        **{"learning_rate_schedule": "cosine", "kl_warmup_epochs": 3, "beta": 2.0},
        **options,
    )
    splits = data.load(config)
    assert splits.train.count // config.batch_size == STEPS
    whole = new_run(tmp_path / "a.incomplete")
    expected = everything(trained(config, splits, whole))

    run = new_run(tmp_path / "b.incomplete")
    with pytest.raises(Interrupted):
        trained(config, splits, run, stop_at=STEPS + 11)
    stopped_at = SEEN_AT if config.network == "dense" else STEPS + 11
    names = sorted(path.name for path in run.checkpoints.glob("*.index"))
    assert names == ["step-20.index", f"step-{stopped_at}.index"]
    with (run.path / "history.csv").open("a") as file:
        file.write("1,0,0\n")  # as a run that was killed between this row and its checkpoint
    of_worker = dataclasses.replace(new_run(tmp_path / "c.incomplete"), resumed=run.checkpoints)
    found_by_worker = everything(trained(config, splits, of_worker))  # not the first: writes there
    resumed = dataclasses.replace(run, resumed=run.checkpoints)
    found = everything(trained(config, splits, resumed))

    names = [name for name, _ in expected]
    assert {"iteration:0", "kl_weight:0", "draws:0"} <= set(names) and len(names) > 30
    for (name, value), (_, other), (_, third) in zip(expected, found, found_by_worker, strict=True):
        np.testing.assert_array_equal(other, value, err_msg=name)
        np.testing.assert_array_equal(third, value, err_msg=name)
    history = (whole.path / "history.csv").read_bytes()
    assert (run.path / "history.csv").read_bytes() == history
    rows = list(csv.DictReader(history.decode().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    rows = list(csv.DictReader((of_worker.path / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]  # it did not begin anew


def test_the_best_weights_are_those_of_the_best_epoch():
    model = small_vae()
    best = BestWeights(model)
    best.set_model(model)
    kernel = model.trainable_weights[0]
    for epoch, elbo in enumerate([-30.0, -10.0, -20.0]):
        kernel.assign(tf.fill(kernel.shape, float(epoch)))
        best.on_epoch_end(epoch, {"val_elbo": elbo})
    best.restore()
    assert np.all(kernel.numpy() == 1.0) and best.elbo.numpy() == -10.0


def checkpoints_of(folder):
    """Those of a small model that has been nowhere, and the model."""
    model = small_vae()
    model.optimizer.build(model.trainable_variables)
    made = Checkpoints(model, BestWeights(model), STEPS, folder, Interrupts())
    made.set_model(model)
    return made, model


@pytest.fixture
def saved(tmp_path):
    """A folder with the checkpoints of steps 9 and 10, whose first weights are 9 and 10."""
    made, model = checkpoints_of(tmp_path)
    for step in (9, 10):
        model.optimizer.iterations.assign(step)
        model.trainable_weights[0].assign(tf.fill(model.trainable_weights[0].shape, float(step)))
        made.save()
    return tmp_path


def truncate(folder, step, suffix=".data-00000-of-00001"):
    path = folder / f"step-{step}{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete(folder, step):
    (folder / f"step-{step}.data-00000-of-00001").unlink()


def empty_index(folder, step):
    (folder / f"step-{step}.index").write_bytes(b"")


def truncate_index(folder, step):
    truncate(folder, step, ".index")


DAMAGE = [truncate, delete, empty_index, truncate_index]


def test_the_last_checkpoint_is_read(saved, capfd):
    made, model = checkpoints_of(saved)
    made.restore(saved)
    assert made.step == 10 and np.all(model.trainable_weights[0].numpy() == 10.0)
    assert capfd.readouterr().err == ""


def test_no_checkpoint_is_the_beginning(tmp_path):
    made, _ = checkpoints_of(tmp_path)
    made.restore(tmp_path)
    assert made.step == 0


@pytest.mark.parametrize("damage", DAMAGE)
def test_where_the_last_checkpoint_is_torn_the_one_before_is_read(damage, saved, capfd):
    damage(saved, 10)
    made, model = checkpoints_of(saved)
    made.restore(saved)
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "step-10.index: cannot be read" in error, error
    assert made.step == 9 and np.all(model.trainable_weights[0].numpy() == 9.0)


@pytest.mark.parametrize("damage", DAMAGE)
def test_where_all_are_torn_one_line_says_so(damage, saved, capfd):
    for step in (9, 10):
        damage(saved, step)
    made, _ = checkpoints_of(saved)
    with pytest.raises(TrainingError, match="can be read: discard it with --restart") as raised:
        made.restore(saved)
    assert str(saved) in str(raised.value) and "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_checkpoint_of_another_model_is_not_read(saved, capfd):
    model = small_vae(hidden_units=(21,))
    model.optimizer.build(model.trainable_variables)
    made = Checkpoints(model, BestWeights(model), STEPS, saved, Interrupts())
    with pytest.raises(TrainingError, match="can be read"):
        made.restore(saved)


def test_what_is_not_finite_is_not_saved(saved):
    made, model = checkpoints_of(saved)
    made.restore(saved)
    model.optimizer.iterations.assign(11)
    for variable in (model.trainable_weights[-1], model.optimizer.variables[-1]):
        value = variable.numpy()
        variable.assign(np.full_like(value, np.nan))
        made.save()
        assert not list(saved.glob("step-11*"))
        variable.assign(value)
    made.save()
    assert list(saved.glob("step-11*"))


def test_two_are_kept_and_a_folder_that_is_gone_is_not_made_again(saved):
    made, model = checkpoints_of(saved)
    made.restore(saved)
    for step in (11, 12):
        model.optimizer.iterations.assign(step)
        made.save()
    kept = sorted(path.name for path in saved.glob("*.index"))
    assert kept == ["step-11.index", "step-12.index"]
    saved.rename(saved.with_name("moved"))
    with pytest.raises(FileNotFoundError):
        made.save()
    assert not saved.exists()
