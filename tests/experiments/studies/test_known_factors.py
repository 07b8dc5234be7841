"""The study of known factors: who sees what, errors by hand, and the launcher on digits."""

import json

import jax
import numpy as np
import pytest

from experiments.common import pictures
from experiments.studies import known_factors
from nsn_jax import data, from_factors
from tests.experiments import helpers

_KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _few_values(monkeypatch):
  """Of each factor: 10 digits at 24 combinations."""
  monkeypatch.setattr(known_factors, "_ANGLES", (0.0, 120.0, 240.0))
  monkeypatch.setattr(known_factors, "_WIDTHS", (0.7, 1.0))
  monkeypatch.setattr(known_factors, "_SHOWN", 4)


@pytest.fixture
def digits() -> known_factors.Digits:
  loaded = data.load("digits", image_size=12, limit=100)
  return known_factors.render(_KEY, loaded, 1, 0.4)


def _model(digits: known_factors.Digits) -> from_factors.FactorNetwork:
  shape, count = digits.prototypes.shape[1:], len(digits.prototypes)
  return from_factors.FactorNetwork(
    image_shape=shape, num_identities=count, hidden=4, width=2, batch_size=4, num_steps=3
  )


def test_digits_of_each_class_at_every_combination(digits):
  assert digits.images.shape == (180, 12, 12, 1) and digits.is_held_out.sum() == 72
  factors = digits.factors
  row = 3 * 18 + 1 * 6 + 1 * 3 + 2
  assert [values[row] for values in factors] == [3, 120.0, 1.0, 0.75]
  np.testing.assert_array_equal(
    digits.images[row], data.render(digits.prototypes, factors.rows(np.array([row])))[0]
  )


def test_what_is_held_out_is_never_seen(digits, monkeypatch):
  batches = []
  step = from_factors.FactorNetwork.step

  def watched(self, state, factors, images):
    jax.debug.callback(lambda f, x: batches.append((f, np.array(x))), factors, images)
    return step(self, state, factors, images)

  monkeypatch.setattr(from_factors.FactorNetwork, "step", watched)
  model = _model(digits)
  # A network of its own, so that it is compiled with the watch.
  state = known_factors.learn(_KEY, model, digits)
  jax.effects_barrier()
  held_out = set(zip(*(x.tolist() for x in digits.factors.rows(digits.is_held_out)), strict=True))
  seen = set(zip(*(x.tolist() for x in digits.factors.rows(~digits.is_held_out)), strict=True))
  drawn = {
    row for factors, _ in batches for row in zip(*(x.tolist() for x in factors), strict=True)
  }
  assert len(batches) == 3 and len(drawn) > 6
  assert not drawn & held_out and drawn <= seen
  rows = list(zip(*(x.tolist() for x in digits.factors), strict=True))
  for factors, images in batches:
    own = [rows.index(row) for row in zip(*(x.tolist() for x in factors), strict=True)]
    np.testing.assert_array_equal(images, digits.images[own])
  # Nor by any other way: with other images in their place it learns the same.
  images = np.where(digits.is_held_out[:, None, None, None], 255 - digits.images, digits.images)
  other = known_factors.learn(_KEY, model, digits._replace(images=images))
  jax.tree.map(np.testing.assert_array_equal, state, other)


def test_errors_by_hand(digits, monkeypatch):
  # A network that is wrong by 10 wherever it can be.
  def generate(model, state, wanted):
    truth = data.render(digits.prototypes, wanted)
    return np.where(truth > 127, truth - 10, truth + 10)

  monkeypatch.setattr(from_factors, "generate", generate)
  rows, made = known_factors.errors(_KEY, _model(digits), None, digits)
  ways = ["network", "nearest factors", "mean of the nearest", "nearest in pixels"]
  kinds = [("seen", "network"), *[(k, w) for k in ("unseen", "angles between") for w in ways]]
  assert [(row["factors"], row["by"]) for row in rows] == kinds
  assert [row["num_images"] for row in rows] == [108] + [72] * 8
  for row in rows:
    if row["by"] == "network":
      assert row["root_mean_square_error"] == pytest.approx(10)
      assert row["psnr"] == pytest.approx(28.1308, abs=1e-3)  # 20 log10 of 25.5
  held_out = digits.is_held_out
  np.testing.assert_array_equal(made["truth"], digits.images[held_out])
  error = {row["by"]: row["root_mean_square_error"] for row in rows if row["factors"] == "unseen"}
  for by, images in made.items():
    expected = np.sqrt(((images.astype(float) - digits.images[held_out]) ** 2).mean())
    assert error.get(by, 0.0) == pytest.approx(expected)
  assert error["nearest in pixels"] <= error["nearest factors"]
  # The nearest factors are others of the same digit.
  seen = digits.images[~held_out]
  assert all((seen == image).all(axis=(1, 2, 3)).any() for image in made["nearest factors"])


def test_halfway_angles_are_no_trained_ones(digits, monkeypatch):
  asked = []
  monkeypatch.setattr(
    from_factors,
    "generate",
    lambda model, state, wanted: asked.append(wanted) or data.render(digits.prototypes, wanted),
  )
  rows, _ = known_factors.errors(_KEY, _model(digits), None, digits)
  assert rows[0]["root_mean_square_error"] == 0 and rows[0]["psnr"] > 150
  assert set(asked[2].angles.tolist()) == {60.0, 180.0, 300.0}
  assert set(asked[2].widths.tolist()) == set(np.float32([0.7, 1.0]).tolist())


def test_nothing_held_out(digits, monkeypatch):
  whole = digits._replace(is_held_out=np.zeros(len(digits.images), bool))
  monkeypatch.setattr(
    from_factors, "generate", lambda model, state, wanted: data.render(digits.prototypes, wanted)
  )
  rows, made = known_factors.errors(_KEY, _model(digits), None, whole)
  assert made == {} and {row["factors"] for row in rows} == {"seen", "angles between"}


def test_labels_are_needed(digits):
  with pytest.raises(ValueError, match="dataset: expected one with labels, got none"):
    known_factors.render(_KEY, data.Dataset(digits.images, None), 1, 0.5)


def test_the_launcher_on_digits(tmp_path, capsys, monkeypatch):
  shown, grid = {}, pictures.grid

  def watched(images, path, title, columns):
    shown[path.stem] = np.asarray(images)
    assert title
    return grid(images, path, title, columns)

  monkeypatch.setattr(pictures, "grid", watched)
  arguments = ("--dataset=digits", "--image_size=12", "--limit=100", f"--workdir={tmp_path}")
  sizes = ("--per_class=1", "--training_steps=3", "--hidden=4", "--width=2", "--held_out=0.4")
  with helpers.given(known_factors, *arguments, *sizes):
    known_factors._main()
  told = capsys.readouterr().out
  found = json.loads((tmp_path / "known_factors.json").read_text())
  assert found["grid"] == [10, 3, 2, 3] and found["held_out"] == 0.4 and len(found["rows"]) == 9
  assert found["training_steps"] == 3
  names = ["unseen", "along_angle", "along_width", "along_thickness", "morphing"]
  assert list(shown) == names
  for name in names:
    assert str(tmp_path / f"{name}.png") in told
    assert helpers.picture_size(tmp_path / f"{name}.png")[0] >= 480
  assert "mean of the nearest" in told and "PSNR" in told
  # Unseen ones in columns: what the network makes differs, the nearest in pixels is nearest.
  columns = shown["unseen"].reshape(5, 4, 12, 12, 1).astype(float)
  error = ((columns[1:] - columns[0]) ** 2).mean(axis=(2, 3, 4))
  assert (error[3] <= error[1]).all() and (error > 0).all()
  # True images above the network's, three shapes; the first width is the narrowest.
  strips = shown["along_width"].reshape(3, 2, 4, 12, 12, 1).astype(int)
  ink = strips[:, 0].sum(axis=(2, 3, 4))
  assert (np.diff(ink, axis=1) > 0).all()
  thick = shown["along_thickness"].reshape(3, 2, 4, 12, 12, 1).astype(int)[:, 0]
  assert (np.diff(thick.sum(axis=(2, 3, 4)), axis=1) > 0).all()
