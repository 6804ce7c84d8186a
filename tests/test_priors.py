import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_vae import priors

tfd = tfp.distributions

SAVED = [
    priors.standard_normal(3),
    tfd.MultivariateNormalDiag([1.0, 2.0], scale_diag=np.float32([0.5, 2.0])),
    tfd.MixtureSameFamily(
        tfd.Categorical(logits=[0.0, 1.0]),
        tfd.MultivariateNormalDiag(tf.constant([[0.0, 1.0], [2.0, 3.0]]), scale_diag=[1.0, 1.0]),
    ),
]


@pytest.mark.parametrize("prior", SAVED, ids=lambda prior: prior.name)
def test_a_prior_comes_back_from_its_config(prior):
    again = priors.deserialize(priors.serialize(prior))
    z = np.random.default_rng(0).normal(size=(5, *prior.event_shape)).astype(np.float32)
    assert type(again) is type(prior)
    np.testing.assert_array_equal(again.log_prob(z), prior.log_prob(z))


def test_a_prior_of_one_s_own_class_is_refused():
    class Mine(tfd.Normal):
        pass

    with pytest.raises(ValueError, match=r"prior Mine: only the classes of tfp.distributions"):
        priors.serialize(Mine(0.0, 1.0))


@pytest.mark.parametrize("name", ["os", "kl_divergence", "NoSuch"])
def test_a_config_makes_nothing_but_distributions(name):
    with pytest.raises(ValueError, match=f"'{name}' is not a class of tfp.distributions"):
        priors.deserialize({"distribution": name, "parameters": {}})
