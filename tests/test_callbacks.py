import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae
from PIL import Image

from tfp_vae import callbacks


def fitted(grey_images, *used, epochs=3, vae=None, **options):
    vae = vae or small_vae()
    vae.fit(grey_images, epochs=epochs, verbose=0, callbacks=list(used), **options)
    return vae


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_samples_are_of_the_same_latents_each_time(grey_images, tmp_path):
    grid = callbacks.SampleGrid(tmp_path, count=9)
    vae = small_vae()
    vae.compile(tf_keras.optimizers.SGD(0.0))  # nothing changes, so that the pictures must agree
    fitted(grey_images, grid, vae=vae)
    assert names(tmp_path) == ["epoch-0001.png", "epoch-0002.png", "epoch-0003.png"]
    pictures = [np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir())]
    assert pictures[0].shape == (3 * 49 + 1, 3 * 55 + 1)  # 8x9 images, enlarged six times
    assert np.array_equal(pictures[0], pictures[1]) and pictures[0].std() > 0


def test_samples_of_given_latents(grey_images, tmp_path):
    latents = np.zeros((4, 4), np.float32)
    vae = fitted(grey_images, callbacks.SampleGrid(tmp_path, latents=latents), epochs=1)
    picture = np.asarray(Image.open(tmp_path / "epoch-0001.png"))
    decoded = np.rint(255 * vae.decoder(latents).mean().numpy()[0, ..., 0]).astype(np.uint8)
    np.testing.assert_array_equal(picture[1:49:6, 1:55:6], decoded)


def test_reconstructions_stand_below_their_originals(grey_images, tmp_path):
    images = grey_images[:7]
    vae = fitted(grey_images, callbacks.ReconstructionGrid(images, tmp_path, columns=5), epochs=1)
    picture = np.asarray(Image.open(tmp_path / "epoch-0001.png"))
    assert picture.shape == (4 * 49 + 1, 5 * 55 + 1)  # 5 and 2, with blanks
    rows = picture.reshape(-1)[: 4 * 49 * 276].reshape(4, 49, 276)[:, 1::6, 1:55:6]
    first = (255 * np.stack([images[0], vae.predict(images[:1], verbose=0)[0]])).round()[..., 0]
    np.testing.assert_array_equal(rows[:2], first)
    assert np.all(picture[3 * 49 + 1 : -1, 2 * 55 + 1 : -1].max(axis=0) >= 128)


def test_the_manifold_decodes_the_quantiles(grey_images, tmp_path):
    vae = small_vae(latent_size=2)
    manifold = callbacks.LatentManifold(tmp_path, side=5)
    fitted(grey_images, manifold, epochs=1, vae=vae)
    assert manifold.latents.shape == (25, 2)
    np.testing.assert_allclose(manifold.latents[12], [0, 0], atol=1e-6)  # the medians
    np.testing.assert_allclose(manifold.latents[0], [-1.2816, 1.2816], atol=1e-3)  # 10 %, 90 %
    assert names(tmp_path) == ["epoch-0001.png"]


def test_pictures_come_first_every_so_often_and_last(grey_images, tmp_path):
    grid = callbacks.SampleGrid(tmp_path / "samples", count=4, every=3, log_dir=tmp_path / "logs")
    fitted(grey_images, grid, epochs=5)
    assert names(tmp_path / "samples") == ["epoch-0001.png", "epoch-0003.png", "epoch-0005.png"]
    (events,) = (tmp_path / "logs").iterdir()
    steps = [
        event.step
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
        if value.tag == "samples"
    ]
    assert steps == [1, 3, 5]


def test_pictures_that_cannot_be_drawn_are_refused_before_training(grey_images, tmp_path):
    with pytest.raises(ValueError, match=r"^every 0: expected at least 1$"):
        callbacks.SampleGrid(tmp_path, every=0)
    manifold = callbacks.LatentManifold(tmp_path)
    with pytest.raises(ValueError, match=r"^LatentManifold: model of 4 latents: expected 2$"):
        fitted(grey_images, manifold)


class WeightAfterEachBatch(tf_keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(float(self.model.kl_weight))


def test_the_warm_up_is_linear_in_steps_and_ends_at_beta(grey_images):
    seen = WeightAfterEachBatch()
    fitted(grey_images, callbacks.KLWarmup(2, beta=4.0), seen, batch_size=65, epochs=3)
    np.testing.assert_allclose(seen.weights, [0.0, 1.0, 2.0, 3.0, 4.0, 4.0])


def test_training_that_ends_with_the_warm_up_leaves_the_whole_weight(grey_images):
    vae = fitted(grey_images, callbacks.KLWarmup(2, beta=4.0), batch_size=65, epochs=2)
    assert float(vae.kl_weight) == 4.0
    part = fitted(grey_images, callbacks.KLWarmup(2, beta=4.0), batch_size=65, epochs=1)
    assert float(part.kl_weight) == 1.0


def test_the_warm_up_of_a_stream_of_unknown_length_moves_by_epochs(grey_images):
    seen = WeightAfterEachBatch()
    stream = tf.data.Dataset.from_generator(
        lambda: (grey_images[i : i + 65] for i in (0, 65)),
        output_signature=tf.TensorSpec([None, 8, 9, 1], tf.float32),
    )
    vae = small_vae()
    vae.fit(stream, epochs=1, verbose=0, callbacks=[callbacks.KLWarmup(2), seen])
    assert seen.weights == [0.0, 0.0]


def test_the_loss_carries_the_warm_up_and_the_elbo_does_not(grey_images):
    vae = small_vae(posterior="independent_normal")
    vae.compile(tf_keras.optimizers.SGD(0.0))
    history = vae.fit(
        grey_images, epochs=3, batch_size=130, verbose=0, callbacks=[callbacks.KLWarmup(2)]
    ).history
    nll, kl = np.array(history["reconstruction_nll"]), np.array(history["kl"])
    np.testing.assert_allclose(history["loss"], nll + kl * [0.0, 0.5, 1.0], rtol=1e-5)
    np.testing.assert_allclose(history["elbo"], -nll - kl, rtol=1e-5)


def test_a_warm_up_of_no_epochs_is_refused():
    with pytest.raises(ValueError, match="epochs 0: expected at least 1"):
        callbacks.KLWarmup(0)


def test_a_warm_up_without_a_kl_is_refused(grey_images):
    vae = small_vae(posterior="deterministic")
    with pytest.raises(ValueError, match=r"^KLWarmup: model has no KL: expected a KLDivergenceReg"):
        vae.fit(grey_images, verbose=0, callbacks=[callbacks.KLWarmup(2)])


def test_training_stops_at_the_first_step_that_is_not_finite(grey_images):
    guard = callbacks.StopOnNonFinite()
    images = grey_images.copy()
    images[100] = np.nan
    vae = small_vae()
    vae.fit(images, epochs=5, verbose=0, callbacks=[guard], shuffle=False)
    assert guard.failure == "reconstruction_nll became nan at step 4 of epoch 1"
    assert len(vae.history.epoch) == 1


@pytest.mark.parametrize("term", ["reconstruction_nll", "kl", "loss", "val_kl"])
def test_the_term_that_is_not_finite_is_named(term):
    guard = callbacks.StopOnNonFinite()
    guard.set_model(small_vae())
    logs = {"loss": 1.0, "reconstruction_nll": 1.0, "kl": 1.0, "val_kl": 1.0}
    guard.on_epoch_end(0, logs)
    assert guard.failure is None
    guard.on_epoch_end(1, {**logs, term: np.inf})
    assert guard.failure == f"{term} became inf at the end of epoch 2"
