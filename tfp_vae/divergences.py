"""KL(q(z|x) || p(z)) of two distributions: in closed form where TFP has one, or at a draw."""

from collections.abc import Callable
from typing import Literal

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError
from tfp_vae.objectives import monte_carlo_kl

KL_FORMS = ("auto", "exact", "monte_carlo")  # what may be asked for
KLForm = Literal["exact", "monte_carlo", "none"]  # what a model has; "none" without a density


def closed_form_kl(posterior: tfd.Distribution, prior: tfd.Distribution) -> tf.Tensor | None:
    """KL(q || p) [B] in nats where TFP has a closed form; None where it has none."""
    q, p = as_multivariate_normal(posterior), as_multivariate_normal(prior)
    if q is not None and p is not None:
        return tfd.kl_divergence(q, p)
    posterior = getattr(posterior, "tensor_distribution", posterior)
    try:
        return tfd.kl_divergence(posterior, prior)
    except NotImplementedError:  # what TFP raises where no form is registered for the two classes
        return None


def kl_divergence(
    posterior: tfd.Distribution,
    prior: tfd.Distribution,
    draw: Callable[[], tf.Tensor],
    form: str = "auto",
) -> tuple[tf.Tensor, KLForm]:
    """KL(q(z|x) || p(z)) of each image.

    Args:
      posterior: q(z|x), over [B, D].
      prior: p(z), over [D].
      draw: returns draws from q(z|x), [..., B, D]; called for the Monte Carlo form only.
      form: "exact", "monte_carlo", or "auto": exact where TFP has a closed form.

    Returns:
      The KL, nats: [B], in the Monte Carlo form [..., B]. And the form: "exact" or "monte_carlo".

    Raises:
      InputError: "exact" for two distributions without a closed form.
    """
    exact = None if form == "monte_carlo" else closed_form_kl(posterior, prior)
    if exact is not None:
        return exact, "exact"
    if form == "exact":
        names = [distribution.name for distribution in (posterior, prior)]
        raise InputError(
            f"kl exact: TFP has no closed form of the KL of {names[0]} from {names[1]}: "
            "expected auto or monte_carlo"
        )
    latents = draw()
    return monte_carlo_kl(posterior.log_prob(latents), prior.log_prob(latents)), "monte_carlo"


def kl_per_latent(posterior: tfd.Distribution, prior: tfd.Distribution) -> tf.Tensor | None:
    """KL(q || p) of each latent, [B, D] in nats; None unless both are factorised Normals."""
    q, p = as_multivariate_normal(posterior), as_multivariate_normal(prior)
    factorised = tfd.MultivariateNormalDiag
    if not (isinstance(q, factorised) and isinstance(p, factorised)):
        return None
    q, p = (tfd.Normal(each.mean(), each.stddev()) for each in (q, p))
    return tfd.kl_divergence(q, p)


def as_multivariate_normal(distribution: tfd.Distribution) -> tfd.Distribution | None:
    """A Normal over a vector as one of TFP's multivariate classes; None for any other.

    TFP has a closed form for two `Independent` Normals and for two multivariate Normals, but not
    for one of each. After this conversion, every pair of Normals has one.
    """
    distribution = getattr(distribution, "tensor_distribution", distribution)  # a layer's output
    if isinstance(distribution, tfd.MultivariateNormalLinearOperator):
        return distribution
    vector = isinstance(distribution, tfd.Independent) and distribution.event_shape.rank == 1
    if vector and type(distribution.distribution) is tfd.Normal:
        inner = distribution.distribution
        return tfd.MultivariateNormalDiag(loc=inner.mean(), scale_diag=inner.stddev())
    return None
