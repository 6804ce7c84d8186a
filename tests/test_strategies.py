"""More than one device and more than one worker: what they must agree on, and must not share."""

import json
import os
import re
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import PATIENCE, command, in_process, wait_for

from tfp_vae.errors import InputError
from training.config import Config
from training.data import splits as data
from training.run import strategies

TWO = {"worker": ["localhost:1", "localhost:2"]}
EPOCHS = 5
SMALL = ["--hidden-units", "8", "--latent-size", "2", "--epochs", str(EPOCHS)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "not JSON",
        "[]",
        json.dumps({"task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": {"ps": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": TWO, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": TWO, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": {"worker": 5}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": "host:1"}, "task": {"type": "worker", "index": 0}}),
    ],
)
def test_a_tf_config_that_is_none_is_refused(value, tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    argv = ("--strategy", "multi_worker", "--output-dir", tmp_path / "runs")
    assert in_process(*argv) == 2
    error = capfd.readouterr().err
    assert error.startswith("--strategy multi_worker: TF_CONFIG ") and error.count("\n") == 1
    assert (value or "is not set") in error and "expected the JSON" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "index", "cluster", "chief"),
    [
        ("worker", 0, TWO, True),
        ("worker", 1, TWO, False),
        ("chief", 0, {**TWO, "chief": ["localhost:3"]}, True),
        ("worker", 0, {**TWO, "chief": ["localhost:3"]}, False),
    ],
)
def test_one_worker_writes_the_run(kind, index, cluster, chief, monkeypatch):
    task = {"type": kind, "index": index}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert strategies.is_chief("multi_worker") == chief
    assert strategies.is_chief("none") and strategies.is_chief("mirrored")


@pytest.mark.slow
def test_mirrored_trains_here(tmp_path, capfd):
    assert in_process("--strategy", "mirrored", "--output-dir", tmp_path, *SMALL) == 0
    assert capfd.readouterr().err == ""
    metrics = json.loads((tmp_path / "digits" / "1" / "metrics.json").read_text())
    assert -45 < metrics["elbo"] < -20
    signatures = tf.saved_model.load(tmp_path / "digits" / "1").signatures
    assert signatures["decode"](latent=tf.zeros([3, 2]))["mean"].shape == (3, 8, 8, 1)


# The command, a hash of the weights that this worker ends with, and whether the logs of an epoch's
# last step, which are means over its steps, are those of the epoch.
HASHED = """
import hashlib, sys
import tf_keras
from training import fit

class Steps(tf_keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        self.logs = dict(logs)

    def on_epoch_end(self, epoch, logs):
        assert {"loss", "elbo", "kl"} <= set(self.logs)
        equal = [abs(self.logs[name] - logs[name]) < 1e-4 * abs(logs[name]) for name in self.logs]
        print("equal logs", all(equal))

trained = fit._trained

def hashed(vae, *rest):
    fitted = vae.fit
    vae.fit = lambda *x, callbacks, **y: fitted(*x, callbacks=[Steps(), *callbacks], **y)
    metrics = trained(vae, *rest)
    values = b"".join(weight.numpy().tobytes() for weight in vae.trainable_weights)
    print("weights", hashlib.sha256(values).hexdigest())
    return metrics

fit._trained = hashed
sys.exit(fit.run_command(fit.fit, "training.fit"))
"""


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def two_workers(output, environment, *argv):
    """Both processes of a small run, the first worker's first."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    temporary = output.with_name("tmp")
    temporary.mkdir(exist_ok=True)
    argv = ["--strategy", "multi_worker", "--output-dir", str(output), *SMALL, *argv]
    return [
        subprocess.Popen(
            [sys.executable, "-c", HASHED, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **environment,
                "TMPDIR": str(temporary),
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                ),
            },
        )
        for index in (0, 1)
    ]


def outputs_of(processes):
    """What each printed, once both have ended well."""
    try:
        ended = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], ended
    return [out for out, _ in ended]


def weights_of(outputs):
    """The hashes of the weights that the workers ended with: one, where they are equal."""
    return {re.search(r"weights \w{64}", out).group() for out in outputs}


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory, clean_environment):
    """The output folder of two workers, and what they printed."""
    output = tmp_path_factory.mktemp("workers") / "runs"
    return output, outputs_of(two_workers(output, clean_environment))


def test_two_workers_end_with_equal_weights_and_one_writes(never_stopped):
    output, printed = never_stopped
    assert len(weights_of(printed)) == 1
    assert len({re.search(r"test ELBO .*", out).group() for out in printed}) == 1
    assert "the first worker" in printed[1] and str(output) in printed[0]
    assert sorted(os.listdir(output / "digits")) == [".lock", "1"]
    assert os.listdir(output.with_name("tmp")) == []
    rows = (output / "digits" / "1" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + EPOCHS
    for out in printed:
        assert re.findall("equal logs (.*)", out) == ["True"] * EPOCHS


@pytest.mark.slow
def test_two_workers_that_were_killed_end_as_if_they_were_not(
    never_stopped, tmp_path, clean_environment
):
    output = tmp_path / "runs"
    processes = two_workers(output, clean_environment)
    wait_for(processes[0], "checkpoints/*.index", output / "digits" / "1.incomplete")
    for process in reversed(processes):
        process.kill()
        process.communicate()
    assert not (output / "digits" / "1").exists()

    printed = outputs_of(two_workers(output, clean_environment, "--resume"))
    assert weights_of(printed) == weights_of(never_stopped[1])
    histories = [path / "digits" / "1" / "history.csv" for path in (output, never_stopped[0])]
    assert histories[0].read_bytes() == histories[1].read_bytes()


def test_xla_is_refused_where_replicas_talk(tmp_path, clean_environment):
    argv = ("--strategy", "mirrored", "--jit-compile", "true", "--output-dir", tmp_path / "runs")
    result = command(*argv, env=clean_environment)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "--jit-compile true" in result.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [8, 180, 501, 997, 1797, 10_000])
def test_no_replica_is_without_an_image_to_evaluate(count, replicas):
    size = strategies.evaluation_batch(count, SimpleNamespace(num_replicas_in_sync=replicas))
    for images in {size, count % size} - {0}:
        shares = np.clip(images - np.arange(replicas) * -(-images // replicas), 0, None)
        assert shares.all(), (size, images)
    assert replicas > 1 or size == 500


def test_a_batch_to_evaluate_is_smaller_where_images_are_large():
    one = SimpleNamespace(num_replicas_in_sync=1)
    sizes = [strategies.evaluation_batch(10_000, one, (n, n, 3)) for n in (64, 256, 4096)]
    assert sizes == [500, 85, 1]


def test_batches_that_cannot_be_shared_are_refused():
    two = SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(InputError, match="1 images to evaluate: expected one for each of 2"):
        strategies.evaluation_batch(1, two)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.distribute, "MirroredStrategy", lambda: two)
        with pytest.raises(InputError, match="--batch-size 63: expected a multiple of 2"):
            strategies.make(Config(strategy="mirrored", batch_size=63))


@pytest.mark.parametrize("cluster", [{"worker": [1, 2]}, {"worker": ["a:1"], "chief": ["b", "c"]}])
def test_a_cluster_that_tensorflow_refuses_is_one_line(cluster, tmp_path, monkeypatch, capfd):
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    argv = ("--strategy", "multi_worker", "--output-dir", tmp_path / "runs")
    assert in_process(*argv) == 2
    error = capfd.readouterr().err
    assert error.startswith("--strategy multi_worker: TF_CONFIG") and error.count("\n") == 1


def test_workers_share_each_batch():
    """By itself tf.data would deal out the files that a stream reads."""
    splits = data.load(Config())
    for batches in (splits.training_batches(64, 0), splits.evaluation_batches("test", 50, 0)):
        policy = batches.options().experimental_distribute.auto_shard_policy
        assert policy == tf.data.experimental.AutoShardPolicy.DATA
