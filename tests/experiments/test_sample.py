"""Samples of a workdir's network: arrays, settings and pictures."""

import dataclasses

import jax
import numpy as np
import pytest

import nsn_jax
from experiments import sample as sample_launcher
from experiments.common import command_line, sample_files
from nsn_jax import data
from tests.experiments import helpers


def test_sample(trained, tmp_path):
  _, result = trained
  sampler = dataclasses.replace(result.nsn.config.sampler, alpha=0.1)
  images = sample_files.write_samples(tmp_path, result.nsn, 104, seed=5, sampler=sampler)
  with np.load(tmp_path / "samples.npz") as arrays:
    np.testing.assert_array_equal(arrays["images"], images)
    assert arrays["images"].dtype == np.uint8 and arrays["images"].shape == (104, 12, 12, 1)
    assert arrays["seed"] == 5 and arrays["layer"] == 1 and arrays["alpha"] == 0.1
    assert arrays["gamma"].tolist() == list(sampler.gamma)
  raw = np.asarray(nsn_jax.sample(jax.random.key(5), result.nsn, 104, sampler))
  np.testing.assert_array_equal(images, np.rint(np.clip(raw, 0, 1) * 255))
  # Ten rows of the 104, though there are more.
  assert helpers.picture_size(tmp_path / "samples_grid.png") == (10 * 87 + 3, 10 * 87 + 3)
  assert len(data.load(f"npz:{tmp_path / 'samples.npz'}").images) == 104


def test_sample_of_a_lower_layer(trained, tmp_path):
  images = sample_files.write_samples(tmp_path, trained[1].nsn, 3, layer=0)
  assert images.shape == (3, 4, 4, 1)
  with pytest.raises(ValueError, match="layer: expected an integer from 0 to 1"):
    sample_files.write_samples(tmp_path, trained[1].nsn, 3, layer=2)


def test_sample_of_a_class(decoded_digits, tmp_path):
  nsn, _ = decoded_digits
  images = sample_files.write_samples(tmp_path, nsn, 4, label=3)
  raw = nsn_jax.sample(jax.random.key(0), nsn, 4, label=3)
  np.testing.assert_array_equal(images, np.rint(np.clip(raw, 0, 1) * 255))
  with np.load(tmp_path / "samples.npz") as arrays:
    assert arrays["label"] == 3 and arrays["prior"] == "mixture" and arrays["decoder"] == "fed"


def test_the_samplers_flags(decoded_digits):
  own = decoded_digits[0].config.sampler
  with helpers.given(sample_launcher, "--prior=noise", "--temperature=0.5", "--decoder=drawn"):
    found = command_line.sampler(own)
  assert found == dataclasses.replace(own, prior="noise", temperature=0.5, decoder="drawn")
  with helpers.given(sample_launcher):
    assert command_line.sampler(own) == own
