"""Early stopping on `val_elbo`: when it ends a run, and that `--resume` ends it there too."""

import csv

import pytest
from helpers.commands import in_process, trained
from helpers.models import small_vae

from training.run import checkpoints

# Steps so small that only the noise of one draw moves `val_elbo`: it ends soon, at random.
OPTIONS = ["--hidden-units", 4, "--latent-size", 2, "--batch-size", 700, "--learning-rate", 1e-9]
OPTIONS += ["--epochs", 60, "--patience", 3]


@pytest.mark.parametrize(
    ("patience", "history", "ends_after"),
    [
        (2, [-5.0, -4.0, -4.5, -4.2, -3.0], 4),
        (1, [-5.0, -4.0, -3.0], None),
        (3, [-5.0, -5.0, -5.0, -5.0, -1.0], 4),  # equal is no better
        (0, [-5.0] * 9, None),
    ],
)
def test_training_ends_where_the_best_epoch_is_patience_epochs_back(patience, history, ends_after):
    vae = small_vae()
    best = checkpoints.BestWeights(vae, patience)
    best.set_model(vae)
    vae.stop_training = False
    ended = None
    for epoch, elbo in enumerate(history):
        best.on_epoch_end(epoch, {"val_elbo": elbo})
        if vae.stop_training:
            ended = epoch + 1
            break
    assert ended == ends_after


def rows(folder):
    return list(csv.DictReader((folder / "digits" / "1" / "history.csv").read_text().splitlines()))


# In the wait for a better epoch, and after the last one.
@pytest.mark.slow
@pytest.mark.parametrize("back", [2, 1])
def test_a_resumed_run_ends_at_the_same_epoch_with_the_same_numbers(back, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert trained(*OPTIONS, "--output-dir", whole) == 0
    epochs = len(rows(whole))
    elbos = [float(row["val_elbo"]) for row in rows(whole)]
    assert elbos.index(max(elbos)) == epochs - 4 and epochs < 60
    assert (whole / "digits" / "1" / "samples" / f"epoch-{epochs:04d}.png").is_file()
    save = checkpoints.Checkpoints.on_epoch_end

    def interrupted(self, number, logs=None):
        save(self, number, logs)
        if number == epochs - back:
            raise RuntimeError("the power went")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the power went"):
        patch.setattr(checkpoints, "MAX_SAVE_FRACTION", float("inf"))
        patch.setattr(checkpoints.Checkpoints, "on_epoch_end", interrupted)
        in_process(*OPTIONS, "--output-dir", stopped)
    assert trained(*OPTIONS, "--output-dir", stopped, "--resume") == 0
    for name in ("history.csv", "metrics.json", "README.md"):
        one, other = (folder / "digits" / "1" / name for folder in (whole, stopped))
        assert one.read_bytes() == other.read_bytes()
