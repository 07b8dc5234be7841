"""The mixture that sampling starts from, and contrast found without labels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsn_jax
from nsn_jax import contrast, prior, training
from nsn_jax.filters import Factors, Filters

KEY = jax.random.key(0)
WINDOW = (2, 2, 1)


def _filters(rank: int = 2) -> Filters:
  rng = np.random.default_rng(0)
  mean = 10.0 * rng.standard_normal((3, *WINDOW)).astype(np.float32)
  loading = rng.standard_normal((3, rank, 4)).astype(np.float32)
  basis = jnp.eye(4).reshape(4, *WINDOW)
  return Filters(jnp.asarray(mean), jnp.ones(3), Factors(jnp.asarray(loading), basis, jnp.ones(3)))


def test_shares_are_counted_by_hand():
  index = np.array([0, 2, 2, 2, 0, 2])
  found = prior.prior_of(index, 4, np.array([0, 0, 1, 1, 3, 3]))
  np.testing.assert_allclose(found.share, [2 / 6, 0, 4 / 6, 0], atol=1e-7)
  np.testing.assert_allclose(
    found.class_share,
    # Nothing is of class 2: it is drawn as all are.
    [[0.5, 0, 0.5, 0], [0, 0, 1, 0], [2 / 6, 0, 4 / 6, 0], [0.5, 0, 0.5, 0]],
    atol=1e-7,
  )
  assert prior.prior_of(index, 4, None).class_share is None


def test_draws_have_the_mixtures_moments():
  filters, share = _filters(), jnp.asarray([0.2, 0.0, 0.8])
  drawn = np.asarray(prior.draw_maps(jax.random.split(KEY, 20_000), filters, share, 1.0))
  drawn = drawn.reshape(-1, 4)
  mean = np.asarray(filters.mean).reshape(3, 4)
  nearest = ((drawn[:, None] - mean[[0, 2]]) ** 2).sum(axis=2).argmin(axis=1)
  # Of 20,000 draws: 4 deviations of 0.3%.
  assert nearest.mean() == pytest.approx(0.8, abs=0.012)
  for number, j in enumerate((0, 2)):
    own, w = drawn[nearest == number], np.asarray(filters.factors.loading)[j]
    np.testing.assert_allclose(np.cov(own.T), w.T @ w, atol=0.25)  # of 4,000 draws at the least
    np.testing.assert_allclose(own.mean(axis=0), mean[j], atol=0.15)


def test_no_temperature_draws_the_means():
  filters = _filters()
  share = jnp.asarray([0.0, 1.0, 0.0])
  drawn = prior.draw_maps(jax.random.split(KEY, 5), filters, share, 0.0)
  np.testing.assert_array_equal(drawn, np.repeat(filters.mean[1:2], 5, axis=0))


# in a whole network


def test_a_sample_depends_on_its_own_number_alone(decoded_digits):
  nsn, _ = decoded_digits
  many = nsn_jax.sample(KEY, nsn, 300)
  np.testing.assert_array_equal(nsn_jax.sample(KEY, nsn, 7), many[:7])
  assert np.asarray(many).std(axis=0).max() > 0.1


def test_a_class_is_drawn_by_its_filters(decoded_digits):
  nsn, images = decoded_digits
  from sklearn.datasets import load_digits
  from sklearn.neighbors import KNeighborsClassifier

  nearest = KNeighborsClassifier(3).fit(images.reshape(600, -1), load_digits().target[:600])
  setting = dataclasses.replace(nsn.config.sampler, temperature=0.5)
  right = [
    np.mean(
      nearest.predict(np.asarray(nsn_jax.sample(KEY, nsn, 60, setting, label=x)).reshape(60, -1))
      == x
    )
    for x in (0, 6)
  ]
  # Blind draws are right one time in ten; some of the forty filters are of two kinds.
  assert min(right) > 0.5


def test_what_the_network_does_not_keep_is_refused(decoded_digits, nsn):
  whole, _ = decoded_digits
  mixture = dataclasses.replace(nsn.config.sampler, prior="mixture")
  noise = dataclasses.replace(whole.config.sampler, prior="noise")
  with pytest.raises(ValueError, match=r"^label: expected None, as training had no labels"):
    nsn_jax.sample(KEY, nsn, 2, mixture, label=1)
  with pytest.raises(ValueError, match=r"^label: expected .*9.*, got 10"):
    nsn_jax.sample(KEY, whole, 2, label=10)
  with pytest.raises(ValueError, match=r"^label: expected None where sampling starts from noise"):
    nsn_jax.sample(KEY, whole, 2, noise, label=1)
  with pytest.raises(ValueError, match=r'^prior: expected "noise"'):
    nsn_jax.sample(KEY, dataclasses.replace(whole, prior=None), 2)


def test_lower_layers_start_from_noise(decoded_digits):
  nsn, _ = decoded_digits
  assert nsn_jax.sample(KEY, nsn, 3, layer=0).shape == (3, 3, 3, 1)


@pytest.mark.parametrize("labels", [[1.5] * 600, [0] * 599, [-1] * 600, [1 << 40] * 600])
def test_labels_that_are_none_are_refused(decoded_digits, labels):
  nsn, images = decoded_digits
  with pytest.raises(ValueError, match=r"^labels: expected"):
    training.fit(KEY, images, nsn.config, labels=np.asarray(labels))


# contrast


def test_samples_are_as_spread_as_the_training_images(decoded_digits):
  nsn, images = decoded_digits
  samples = nsn_jax.sample(jax.random.key(5), nsn, 2000)
  # Another thousand samples than those that it was found on.
  assert contrast.spread(samples) == pytest.approx(contrast.spread(images), rel=0.03)


def test_contrast_does_not_depend_on_what_the_network_has(decoded_digits):
  nsn, images = decoded_digits
  assert nsn.contrast is not None
  found = contrast.find_contrast(KEY, nsn, images)
  other = nsn.contrast._replace(factor=jnp.float32(3.0))
  again = contrast.find_contrast(KEY, dataclasses.replace(nsn, contrast=other), images)
  assert float(found.factor) == float(again.factor)
  np.testing.assert_allclose(found.center, images.mean(axis=0), atol=1e-6)
  # The more filters are drawn at a position, the more is averaged away.
  more = dataclasses.replace(nsn.config.sampler, decoder="drawn", num_draws=4, gamma=20.0)
  assert contrast.find_contrast(KEY, nsn, images, more).factor > found.factor


def test_spread_by_hand():
  images = np.zeros((2, 1, 2, 1), np.float32)
  images[1] = [[[1.0], [9.0]]]  # clipped to 1: each pixel's variance is 1/4
  assert contrast.spread(images) == pytest.approx(0.5)


def test_samples_that_are_all_alike_keep_a_contrast_of_one(decoded_digits):
  nsn, images = decoded_digits
  flat = jax.tree.map(jnp.zeros_like, nsn.filters[0].mean)
  dead = dataclasses.replace(
    nsn, filters=(nsn.filters[0]._replace(mean=flat), *nsn.filters[1:]), fed=None
  )
  assert float(contrast.find_contrast(KEY, dead, images).factor) == 1.0
