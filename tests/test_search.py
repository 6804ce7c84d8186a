"""The latent index: distances compared with TFP and brute force, and its file."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_probability as tfp

from tfp_vae.errors import InputError
from tfp_vae.latent_space import search

tfd = tfp.distributions


def posteriors(count, seed):
    """Means [count, 3] and random lower triangles [count, 3, 3], float64."""
    random = np.random.default_rng(seed)
    below = np.tril(random.normal(size=(count, 3, 3)), -1)
    diagonal = random.uniform(0.05, 2.0, size=(count, 3))
    return random.normal(size=(count, 3)), below + diagonal[..., np.newaxis] * np.eye(3)


def test_the_symmetric_kl_is_that_of_tfp():
    (means, scales), (others, other_scales) = posteriors(5, seed=0), posteriors(7, seed=1)
    p = tfd.MultivariateNormalTriL(means[:, np.newaxis], scales[:, np.newaxis])
    q = tfd.MultivariateNormalTriL(others, other_scales)
    expected = p.kl_divergence(q) + q.kl_divergence(p)
    actual = search.symmetric_kl(means, scales, others, other_scales)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)
    back = search.symmetric_kl(others, other_scales, means, scales)
    np.testing.assert_allclose(actual, back.T, rtol=1e-9)
    itself = search.symmetric_kl(means, scales, means, scales)
    np.testing.assert_allclose(np.diag(itself), 0.0, atol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "symmetric_kl"])
def test_neighbors_are_those_of_brute_force(metric, tmp_path):
    means, scales = posteriors(200, seed=0)
    queries, query_scales = posteriors(search.QUERY_BATCH + 3, seed=1)
    names = [f"image {i}" for i in range(200)]
    if metric == "euclidean":
        index = search.Index(means, names=names)
        distances = np.linalg.norm(queries[:, np.newaxis] - means, axis=-1)
    else:
        index = search.Index(means, names=names, scale_trils=scales)
        distances = search.symmetric_kl(queries, query_scales, means, scales)
    found = index.query(queries, scale_trils=query_scales, count=5)
    np.testing.assert_array_equal(found.item, np.argsort(distances, axis=1)[:, :5])
    np.testing.assert_allclose(found.distance, np.sort(distances, axis=1)[:, :5])

    index.save(tmp_path / "index.npz", fingerprint="a/b")
    loaded = search.Index.load(tmp_path / "index.npz", fingerprint="a/b")
    assert loaded.names.tolist() == names
    again = loaded.query(queries, scale_trils=query_scales, count=5)
    np.testing.assert_array_equal(again.item, found.item)
    np.testing.assert_array_equal(again.distance, found.distance)


def test_the_metrics_differ():
    means, scales = posteriors(200, seed=0)
    names = [""] * 200
    euclidean = search.Index(means, names=names).query(means[:1], count=200)
    kl = search.Index(means, names=names, scale_trils=scales)
    found = kl.query(means[:1], scale_trils=scales[:1], count=200)
    assert euclidean.item[0, 0] == found.item[0, 0] == 0
    assert euclidean.item.tolist() != found.item.tolist()


@pytest.mark.parametrize("metric", ["euclidean", "symmetric_kl"])
def test_a_small_collection_is_found_whole(metric):
    means, scales = posteriors(3, seed=0)
    index = search.Index(
        means, names=list("abc"), scale_trils=scales if metric == "symmetric_kl" else None
    )
    found = index.query(means[1:2], scale_trils=scales[1:2], count=10)
    assert found.item.shape == (1, 3)
    assert index.names[found.item[0, 0]] == "b"


def test_labels_are_kept_and_an_index_without_them_loads(tmp_path):
    means, scales = posteriors(3, seed=0)
    path = tmp_path / "index.npz"
    for labels in (["a", "b", "a"], None):
        built = search.Index(means, names=list("xyz"), scale_trils=scales, labels=labels)
        built.save(path, fingerprint="f")
        loaded = search.Index.load(path, fingerprint="f")
        assert (loaded.labels if labels is None else loaded.labels.tolist()) == labels
    np.savez(path, means=means, names=list("xyz"), fingerprint="f")  # as version 0.1.0 did
    assert search.Index.load(path, fingerprint="f").labels is None


def test_what_cannot_be_an_index():
    means, scales = posteriors(3, seed=0)
    with pytest.raises(ValueError, match="3 means, 2 names"):
        search.Index(means, names=["a", "b"])
    with pytest.raises(ValueError, match="3 means, 1 labels"):
        search.Index(means, names=list("abc"), labels=["a"])
    with pytest.raises(ValueError, match="at least 1"):
        search.Index(means[:0], names=[])
    with pytest.raises(ValueError, match="no density"):
        search.Index(means, names=list("abc"), scale_trils=0 * scales)


@pytest.mark.parametrize("metric", ["euclidean", "symmetric_kl"])
def test_an_index_of_posteriors(metric):
    means, scales = posteriors(20, seed=0)
    names = [str(i) for i in range(20)]
    normal = SimpleNamespace(mean=means, scale_tril=scales)
    index = search.Index.of(normal, names=names, metric=metric)
    assert (index.scale_trils is None) == (metric == "euclidean")
    np.testing.assert_array_equal(index.means, means)


def test_the_symmetric_kl_needs_normal_posteriors():
    means, scales = posteriors(3, seed=0)
    other = SimpleNamespace(mean=means, scale_tril=None)
    search.Index.of(other, names=list("abc"))
    with pytest.raises(InputError, match="metric symmetric_kl: only for Normal posteriors"):
        search.Index.of(other, names=list("abc"), metric="symmetric_kl")
    index = search.Index(means, names=list("abc"), scale_trils=scales)
    with pytest.raises(ValueError, match="no scale_trils"):
        index.query(means, count=1)


def test_a_file_of_another_model_or_kind_is_refused(tmp_path):
    means, scales = posteriors(3, seed=0)
    path = tmp_path / "index.npz"
    search.Index(means, names=list("abc")).save(path, fingerprint="a/b")
    with pytest.raises(InputError, match=r"index\.npz: made with another model"):
        search.Index.load(path, fingerprint="c")
    arrays = {"means": means, "names": list("abc"), "fingerprint": "a/b"}
    np.savez(path, **arrays, scale_trils=scales[:, :2])
    with pytest.raises(InputError, match=r"index\.npz: scale_trils has shape"):
        search.Index.load(path, fingerprint="a/b")
    for changes, message in (
        ({"means": np.full(means.shape, "a")}, "means is damaged"),
        ({"names": np.zeros(3)}, "names is damaged"),
        ({"means": means[:0], "names": np.zeros(0, str)}, "means is empty"),
        ({"scale_trils": 0 * scales}, "damaged: scale_trils with a zero"),
    ):
        np.savez(path, **{**arrays, **changes})
        with pytest.raises(InputError, match=rf"index\.npz: {message}"):
            search.Index.load(path, fingerprint="a/b")
    with pytest.raises(InputError, match=r"queries of shape \(3, 2\): expected \(Q, "):
        search.Index(means, names=list("abc")).query(means[:, :2], count=1)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"index\.npz: not a"):
        search.Index.load(path, fingerprint="a/b")
