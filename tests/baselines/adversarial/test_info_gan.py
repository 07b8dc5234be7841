"""InfoGAN: the bound against SciPy and by hand, its codes, and that it learns to tell them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nsn_jax import baselines
from nsn_jax.baselines.adversarial import info_gan, matching
from tests.baselines.helpers import KEY, SHAPE, begun, small


def _noise(model: baselines.InfoGAN, category: list[int], continuous: np.ndarray) -> jax.Array:
  rest = np.zeros((len(category), model.latent))
  return jnp.asarray(
    np.concatenate([rest, np.eye(model.categories)[category], continuous], axis=1), jnp.float32
  )


def test_information_of_the_category_by_hand():
  model = baselines.make("infogan", SHAPE)
  category = [0, 3, 9, 9]
  noise = _noise(model, category, np.zeros((4, 2)))
  normal = jnp.zeros((4, 2)), jnp.ones((4, 2))
  for probabilities, expected in (
    (np.full((4, 10), 0.1), 0.0),  # E[log Q] is -log 10, and the entropy log 10.
    (np.eye(10)[category], np.log(10)),
    (np.full((4, 10), 0.05) + 0.5 * np.eye(10)[category], np.log(10 * 0.55)),
  ):
    said = info_gan.Codes(jnp.log(jnp.maximum(jnp.asarray(probabilities), 1e-30)), *normal)
    assert float(model.information(noise, said)[0]) == pytest.approx(expected, abs=1e-6)


def test_information_of_continuous_codes_equals_scipys():
  model = baselines.make("infogan", SHAPE)
  rng = np.random.default_rng(0)
  codes = rng.uniform(-1, 1, (5000, 2))
  noise = _noise(model, [0] * 5000, codes)
  logs = jnp.zeros((5000, 10))

  def found(mean: np.ndarray, deviation: np.ndarray) -> float:
    said = info_gan.Codes(logs, jnp.asarray(mean), jnp.asarray(deviation))
    return float(model.information(noise, said)[1])

  mean, deviation = codes + 0.1 * rng.normal(size=codes.shape), rng.uniform(0.1, 0.5, codes.shape)
  densities = stats.norm(mean, deviation).logpdf(codes).sum(axis=1)
  # Of a uniform code of [-1, 1] the density is 1/2. float32 means of 5,000.
  assert found(mean, deviation) == pytest.approx(densities.mean() + 2 * np.log(2), abs=1e-4)
  # Where images say nothing, so that Q is one normal for all, the bound is not above 0.
  for width in (0.3, 1 / np.sqrt(3), 1.0):
    assert found(np.zeros_like(codes), np.full_like(codes, width)) < 0


def test_noise_is_what_the_paper_draws():
  model = baselines.make("infogan", (28, 28, 1))
  noise = np.asarray(model.noise(KEY, 4000))
  assert noise.shape == (4000, 74)
  rest, category, continuous = np.split(noise, (62, 72), axis=1)
  assert (category.sum(axis=1) == 1).all() and set(np.unique(category)) == {0.0, 1.0}
  # 400 each; five standard errors are 5 * sqrt(4000 * 0.09).
  assert (np.abs(category.sum(axis=0) - 400) < 95).all()
  for part in (rest, continuous):
    assert -1 <= part.min() < -0.99 and 0.99 < part.max() < 1
  # By keys of their own: of one key the first values would be the same.
  assert (rest.ravel()[:100] != continuous.ravel()[:100]).all()
  # Drawn apart: five standard errors of a correlation.
  correlations = np.corrcoef(np.concatenate([rest[:, :2], continuous], axis=1).T) - np.eye(4)
  assert np.abs(correlations).max() < 5 / np.sqrt(4000)


def test_objectives_are_gan_losses_less_the_information():
  model = small("infogan", category_weight=2.0, continuous_weight=0.5)
  critic = begun(model).critic
  images, fake = jax.random.uniform(KEY, (2, 5, *SHAPE), minval=-1.0)
  noise = model.noise(KEY, 5)
  judge = jax.jit(lambda x: model._judge(None, critic, x))
  (real_scores, _), (fake_scores, said) = judge(images), judge(fake)
  category, continuous = map(float, model.information(noise, said))
  assert category != 0 != continuous
  cross_entropies = [np.log1p(np.exp(x)).mean() for x in (-real_scores, fake_scores, -fake_scores)]
  found = jax.jit(lambda: model.critic_objective(None, critic, images, fake, noise))()
  expected = cross_entropies[0] + cross_entropies[1] - 2 * category - 0.5 * continuous
  # float32, of two programs.
  assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)
  found, told = jax.jit(lambda: model.generator_objective(None, critic, images, fake, noise))()
  expected = cross_entropies[2] - 2 * category - 0.5 * continuous
  assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)
  assert float(told["category_information"]) == pytest.approx(category, abs=1e-5)
  assert float(told["continuous_information"]) == pytest.approx(continuous, abs=1e-5)


def test_each_network_has_its_rate(images):
  model = small("infogan", learning_rate=2e-4, generator_rate=1e-3)
  before = begun(model)
  after, _ = jax.jit(model.step)(KEY, before, jnp.asarray(images[:5], jnp.float32) / 127.5 - 1)
  for name, rate in (("critic", 2e-4), ("generator", 1e-3)):
    old, new = getattr(before, name), getattr(after, name)
    moves = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), old, new)
    # Adam's first step is the rate, for all weights that have a gradient.
    assert float(max(jax.tree.leaves(moves))) == pytest.approx(rate, rel=1e-3)


def test_images_of_given_codes():
  model = small("infogan")
  state = begun(model)
  noise = model.noise(KEY, 6)
  rest, one_hot, continuous = jnp.split(noise, (3, 6), axis=1)
  found = model.generate_with(state, rest, one_hot.argmax(axis=1), continuous)
  np.testing.assert_array_equal(found, model.generate(KEY, state, 6))
  for changed in (
    model.generate_with(state, rest, 2 - one_hot.argmax(axis=1), continuous),
    model.generate_with(state, rest, one_hot.argmax(axis=1), -continuous),
    model.generate_with(state, -rest, one_hot.argmax(axis=1), continuous),
  ):
    assert not np.allclose(found, changed, atol=1e-4)
  said = model.codes(state, found)
  assert said.category_logs.shape == (6, 3) and said.mean.shape == said.deviation.shape == (6, 1)
  np.testing.assert_allclose(jnp.exp(said.category_logs).sum(axis=1), 1.0, rtol=1e-5)
  assert (said.deviation > 0.05).all()
  with pytest.raises(ValueError, match=r"images: expected \[N, 8, 8, 2\], got shape \(6, 8"):
    model.codes(state, found[..., :1])
  for name, arrays in (
    ("rest", (rest[:, :2], jnp.zeros(6, int), continuous)),
    ("category", (rest, jnp.zeros(5, int), continuous)),
    ("category", (rest, jnp.zeros(6), continuous)),
    ("continuous", (rest, jnp.zeros(6, int), jnp.zeros((6, 2)))),
  ):
    with pytest.raises(ValueError, match=f"{name}: expected"):
      model.generate_with(state, *arrays)


def test_it_learns_to_tell_codes(images):
  seen: list[dict[str, float]] = []
  baselines.train(
    KEY,
    small("infogan", batch_size=20, width=4, learning_rate=5e-4, generator_rate=2e-3),
    np.repeat(images, 20, axis=0),
    num_epochs=4,
    on_epoch=lambda epoch, _: seen.append(epoch.metrics),
  )
  told = [epoch["category_information"] for epoch in seen]
  # Of log 3 = 1.1 nats: nothing at first.
  assert told[0] < 0.7 * told[-1] and 0.5 < told[-1] <= np.log(3)
  assert seen[0]["continuous_information"] < seen[-1]["continuous_information"]


def test_matching_by_hand():
  # Group 2 is class 0, group 0 class 1; of group 1 nothing is left but class 2, by one sample.
  groups, labels = [2, 2, 2, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0, 2]
  assert matching.matched_accuracy(groups, labels) == (5 / 8, {0: 1, 1: 2, 2: 0})
  # More groups than classes: one stays alone. The greedy choice, group by group, would be 2 of 5.
  share, found = matching.matched_accuracy([0, 0, 1, 1, 1], [0, 0, 0, 0, 0])
  assert share == 3 / 5 and found == {1: 0}
  assert matching.matched_accuracy([0], [7]) == (1.0, {0: 7})


def test_matching_equals_all_permutations():
  rng = np.random.default_rng(0)
  for _ in range(5):
    groups, labels = rng.integers(0, 4, (2, 30))
    groups[:4] = labels[:4] = range(4)
    best = max(
      np.mean(np.array(order)[groups] == labels) for order in itertools.permutations(range(4))
    )
    share, found = matching.matched_accuracy(groups, labels)
    assert share == pytest.approx(best)
    assert np.mean(np.array([found[group] for group in groups]) == labels) == pytest.approx(best)


@pytest.mark.parametrize(
  ("groups", "labels", "named"),
  [([], [], "groups"), ([0.5], [1], "groups"), ([-1], [1], "groups"), ([1, 1], [1], "labels")],
)
def test_matching_errors(groups, labels, named):
  with pytest.raises(ValueError, match=f"{named}: expected"):
    matching.matched_accuracy(groups, labels)
