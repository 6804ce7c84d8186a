"""Makes the golden files of version 0.1.0: a trained run, and the numbers that it gave.

Documentation: it runs only with the code of commit 31f3a83 (version 0.1.0), whose package it
imports, and whose results `tests/test_golden.py` expects from the present code. From the
top of this repository:

    git worktree add ../tfp_vae-0.1.0 31f3a83
    cd ../tfp_vae-0.1.0
    python3.11 -m venv .venv && .venv/bin/pip install -e .
    .venv/bin/python -m training.fit --latent-size 3 --hidden-units 32 --epochs 30 \
        --learning-rate 0.005 --seed 0 --output-dir runs
    .venv/bin/python -m training.evaluate runs/digits --num-samples 20
    .venv/bin/python ../tfp_vae/tests/golden/make_run_0_1_0.py runs/digits/1 ../tfp_vae/tests/golden

Of the run, the pictures and the TensorBoard logs are left out.
"""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import tf_keras

import tfp_vae
from training import data
from training.config import Config

NUM_IMAGES = 40  # the first of the test set, binarised as evaluation binarises them
DROPPED = ("logs", "samples", "reconstructions", "evaluation.png")


def saved_model_numbers(folder, images):
    """What the methods of `tfp_vae.load(folder)` return, by name."""
    model = tfp_vae.load(folder)
    random = np.random.default_rng(0)
    latents = random.standard_normal([NUM_IMAGES, model.latent_size]).astype(np.float32)
    posterior = model.posterior(images)
    prior = model.prior_sample(6, seed=4)
    elbo = model.elbo(images, seed=5)
    direction = model.latent_direction(images[:20], images[20:])
    numbers = {
        "images": images,
        "latents": latents,
        "posterior_mean": posterior.mean,
        "posterior_stddev": posterior.stddev,
        "posterior_scale_tril": posterior.scale_tril,
        "encode": model.encode(images),
        "decode": model.decode(latents),
        "reconstruct": model.reconstruct(images),
        "sample": model.sample(6, seed=4),
        "prior_sample_image": prior.image,
        "prior_sample_latent": prior.latent,
        # More rows than one call of the signature takes (512).
        "prior_sample_600_latent": model.prior_sample(600, seed=4).latent,
        "log_likelihood": model.log_likelihood(images, latents),
        "elbo": elbo.elbo,
        "elbo_reconstruction_nll": elbo.reconstruction_nll,
        "elbo_kl": elbo.kl,
        "interpolate_linear": model.interpolate(images[0], images[1], 5),
        "interpolate_spherical": model.interpolate(images[0], images[1], 5, spherical=True),
        "traverse": model.traverse(images[2], 1, [-2.0, 0.0, 2.0]),
        "latent_direction": direction,
        "apply_direction": model.apply_direction(images[3], direction, [-1.0, 0.0, 1.0]),
    }
    # 512, 25 and 8 images in one call.
    for num_samples in (1, 20, 100):
        name = f"log_marginal_likelihood_{num_samples}"
        numbers[name] = model.log_marginal_likelihood(images, num_samples, seed=6)
    found = tfp_vae.evaluate(model, images, num_samples=20, seed=3, discrete_likelihood=True)
    for field in dataclasses.fields(found):
        numbers[f"evaluate_{field.name}"] = np.asarray(getattr(found, field.name))
    return numbers


def keras_numbers(path, images):
    """What the model in `model.keras` computes without a random draw, by name."""
    vae = tf_keras.models.load_model(path)
    posterior = vae.encoder(images)
    likelihood = vae.decoder(posterior.mean())
    return {
        "keras_predict": vae.predict(images, verbose=0),
        "keras_posterior_mean": posterior.mean().numpy(),
        "keras_posterior_stddev": posterior.stddev().numpy(),
        "keras_kl": vae.divergence(posterior).numpy(),
        "keras_log_likelihood": likelihood.log_prob(images).numpy(),
    }


def main(run, golden):
    """Copies the version folder `run` into the folder `golden`, and writes its numbers there."""
    splits = data.load(Config.from_json(run / "config.json"))
    batch = next(iter(splits.evaluation_batches("test", NUM_IMAGES, 0)))
    images = np.asarray(batch, np.float32)
    numbers = saved_model_numbers(run, images) | keras_numbers(run / "model.keras", images)
    np.savez_compressed(golden / "numbers-0.1.0.npz", **numbers)
    target = golden / "run-0.1.0" / "1"
    shutil.copytree(run, target, ignore=shutil.ignore_patterns(*DROPPED), dirs_exist_ok=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
