"""What is kept of real images: read back to the bit, refused of others, and of damage."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from experiments.common import judging, reference_files
from nsn_jax.metrics import evaluation


@pytest.fixture
def kept(
  judge: judging.Judge, tmp_path: pathlib.Path
) -> tuple[pathlib.Path, reference_files.Identity, reference_files.Statistics]:
  rng = np.random.default_rng(0)
  scores = evaluation.Evaluation(20, 5.0, 0.1, 1.5, float("nan"), 0.1, *rng.random(4).tolist())
  statistics = reference_files.Statistics(
    rng.random((12, 5)).astype(np.float32), rng.random(7), scores
  )
  identity = reference_files.identify(judge.classifier, *_images(judge))
  reference_files.write(tmp_path / "x.npz", identity, statistics)
  return tmp_path / "x.npz", identity, statistics


def _images(judge: judging.Judge) -> tuple[np.ndarray, np.ndarray]:
  return judge.train.images[:12], judge.test.images[:7]


def test_what_is_written_is_read(kept) -> None:
  path, identity, statistics = kept
  found = reference_files.read(path, identity)
  np.testing.assert_array_equal(found.features, statistics.features, strict=True)
  np.testing.assert_array_equal(
    found.held_out_distances, statistics.held_out_distances, strict=True
  )
  np.testing.assert_equal(found.held_out.as_dict(), statistics.held_out.as_dict())


def test_statistics_of_others_are_refused_in_one_line(kept, judge: judging.Judge) -> None:
  path, identity, _ = kept
  train, held_out = _images(judge)
  other = jax.tree.map(lambda leaf: leaf.at[0].add(1e-6), judge.classifier)
  larger = dataclasses.replace(judge.classifier, num_classes=11)
  assert identity == reference_files.identify(judge.classifier, train.copy(), held_out)
  for network in (other, larger):
    with pytest.raises(ValueError, match=r"reference: expected statistics of the judge at hand"):
      reference_files.read(path, reference_files.identify(network, train, held_out))
  for images in ((train[:11], held_out), (train, held_out[:6]), (held_out, train), (train, train)):
    with pytest.raises(ValueError, match=r"of the real images at hand, got .* remove it to have"):
      reference_files.read(path, reference_files.identify(judge.classifier, *images))


def test_damage_is_one_line_and_never_another_number(kept) -> None:
  path, identity, statistics = kept
  whole = path.read_bytes()
  for place in range(0, len(whole), 41):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    try:
      found = reference_files.read(path, identity)
    except ValueError as error:
      assert str(error).startswith("reference: expected statistics") and "\n" not in str(error)
    else:  # A byte of the archive that says nothing, as a date.
      np.testing.assert_array_equal(found.features, statistics.features)
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(ValueError, match=r"which is damaged or something else"):
    reference_files.read(path, identity)


def test_another_file_is_one_line(kept, tmp_path: pathlib.Path) -> None:
  _, identity, _ = kept
  np.savez(tmp_path / "y.npz", images=np.zeros((3, 4, 4), np.uint8))
  with pytest.raises(ValueError, match=r"which is damaged or something else \('about'\): give"):
    reference_files.read(tmp_path / "y.npz", identity)
  with pytest.raises(FileNotFoundError, match=r"reference: expected a file, found none at"):
    reference_files.read(tmp_path / "z.npz", identity)


def test_a_pickle_is_never_run(kept, tmp_path: pathlib.Path) -> None:
  class Trap:
    def __reduce__(self):
      return pathlib.Path.touch, (tmp_path / "sprung",)

  path, identity, _ = kept
  np.savez(path, features=np.array([Trap()], object), about=np.zeros(2, np.uint8))
  with pytest.raises(ValueError, match=r"which is damaged or something else"):
    reference_files.read(path, identity)
  assert not (tmp_path / "sprung").exists()
