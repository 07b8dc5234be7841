"""Which decoder a layer gets: the distance against scipy's, and choices that are plain to see."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from nsn_jax import decoder_training, network
from nsn_jax.decoder_choice import choose_decoder, map_distance
from nsn_jax.rows import Rows

KEY = jax.random.key(0)


def test_the_distance_is_scipys():
  rng = np.random.default_rng(0)
  real, found = rng.random((60, 5)), 0.5 * rng.random((60, 5)) @ rng.random((5, 5)) + 0.1
  a, b = np.cov(real.T, bias=True), np.cov(found.T, bias=True)
  shift = real.mean(axis=0) - found.mean(axis=0)
  root = linalg.sqrtm(a @ b).real
  expected = shift @ shift + np.trace(a + b - 2 * root)
  assert map_distance(real, found) == pytest.approx(expected, rel=1e-6)


def test_the_distance_by_hand():
  real = np.array([[0.0], [2.0]], np.float32)  # mean 1, variance 1
  assert map_distance(real, real) == pytest.approx(0.0, abs=1e-12)
  assert map_distance(real, real + 3.0) == pytest.approx(9.0)
  assert map_distance(real, 1.0 + 3.0 * (real - 1.0)) == pytest.approx(4.0)  # deviations 1 and 3
  # More features than images: no root of a singular matrix is taken.
  wide = np.eye(3, 8, dtype=np.float32)
  assert map_distance(wide, wide) == pytest.approx(0.0, abs=1e-12)


def _batches(nsn, images, index):
  """Real maps on both sides: what the layers above would decode to, were they perfect."""
  maps = network.encode(nsn, images)[index]
  return [(maps[:100], maps[:100]), (maps[100:], maps[100:])]


@pytest.mark.parametrize("index", [0, 1])
def test_a_decoder_that_brings_maps_back_is_taken_and_one_that_blurs_is_not(decoded_digits, index):
  nsn, images = decoded_digits
  nsn = dataclasses.replace(nsn, contrast=None)  # It was found for other decoders.
  exact = nsn.exact[index]
  # The same mean patch everywhere: the worst that a linear map can be.
  blind = dataclasses.replace(
    exact, weight=jnp.zeros_like(exact.weight), bias=jnp.zeros_like(exact.bias)
  )
  batches = _batches(nsn, images[:200], index)
  name, distances = choose_decoder(
    KEY, nsn, index, {"blind": blind, "drawn": None, "exact": exact}, batches
  )
  assert name == "exact" == min(distances, key=distances.__getitem__)
  assert distances["blind"] == max(distances.values())


def test_equal_keys_choose_alike_and_batches_are_as_one(decoded_digits):
  nsn, images = decoded_digits
  batches = _batches(nsn, images[:200], 1)
  candidates = {"linear": nsn.exact[1], "also": nsn.exact[1]}
  one, again = (choose_decoder(KEY, nsn, 1, candidates, batches)[1] for _ in range(2))
  assert one == again and one["linear"] == one["also"]
  whole = [tuple(jnp.concatenate(side) for side in zip(*batches, strict=True))]
  # A linear decoder draws nothing, so that the batch's key has no part in it.
  assert choose_decoder(KEY, nsn, 1, candidates, whole)[1]["linear"] == pytest.approx(
    one["linear"], rel=1e-4
  )


def _searching(nsn):
  """The network whose decoders are to be found."""
  layers = tuple(dataclasses.replace(x, decoder="found") for x in nsn.config.layers[:-1])
  config = dataclasses.replace(nsn.config, layers=(*layers, nsn.config.layers[-1]))
  return dataclasses.replace(nsn, config=config, fed=None, contrast=None)


def test_training_keeps_the_kind_that_it_finds(decoded_digits, monkeypatch):
  nsn, images = decoded_digits
  searching = _searching(nsn)
  seen, sizes = [], []
  fit = decoder_training._fit

  def watch(key, network, index, some, *args, **more):
    sizes.append(len(some))
    return fit(key, network, index, some, *args, **more)

  def choose(key, above, index, candidates, held_out):
    batches = list(held_out)
    assert sum(len(true) for _, true in batches) == 100  # a quarter of 600 images, whole hundreds
    found = choose_decoder(key, above, index, candidates, batches)
    seen.append((index, sorted(candidates), found[0]))
    return found

  monkeypatch.setattr(decoder_training, "_fit", watch)
  monkeypatch.setattr(decoder_training, "choose_decoder", choose)
  fed = decoder_training.train_fed(KEY, searching, Rows.of(images), lambda _: None)
  assert [(index, kinds) for index, kinds, _ in seen] == [
    (index, ["corrected", "drawn", "linear"]) for index in (1, 0)
  ]
  for index, _, kind in seen:
    assert (fed[index].kind if fed[index] else "drawn") == kind
  assert fed[2] is None and set(sizes) == {450}
  network.check_sound("nsn", dataclasses.replace(searching, fed=fed))


def test_a_few_images_are_enough(decoded_digits):
  nsn, images = decoded_digits
  searching = _searching(nsn)
  fed = decoder_training.train_fed(KEY, searching, Rows.of(images[:3]), lambda _: None)
  network.check_sound("nsn", dataclasses.replace(searching, fed=fed))
