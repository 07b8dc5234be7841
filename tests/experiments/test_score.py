"""Scores of anybody's images, and of a network's samples."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nsn_jax
from experiments import score
from experiments.common import image_scores, judging, runs
from nsn_jax import data
from nsn_jax.metrics import evaluation
from tests.experiments import helpers


@pytest.fixture(autouse=True)
def asked(judge: judging.Judge, monkeypatch: pytest.MonkeyPatch) -> list[str]:
  """Whose classifiers were asked for; they are the weak one of the digits."""
  found: list[str] = []
  monkeypatch.setattr(judging, "judge", lambda name, **_: found.append(name) or judge)
  return found


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
  """Names of data sets that anybody may have."""
  folder = tmp_path_factory.mktemp("sets")
  (train, labels), (test, test_labels) = (data.load("digits", split=s) for s in ("train", "test"))
  order = np.argsort(test_labels, kind="stable")
  arrays: dict[str, dict[str, Any]] = {
    "unlabelled": {"images": train, "test_images": test},
    "labelled": {"images": train, "labels": labels, "test_images": test},
    "no test": {"images": train},
    "digits": {"images": test},
    "by class": {"images": test[order]},
    "copies": {"images": train[:300]},
    "noise": {"images": np.random.default_rng(0).integers(0, 256, test.shape).astype(np.uint8)},
    "few": {"images": train[:9]},
  }
  for name, named in arrays.items():
    np.savez(folder / f"{name}.npz", **named)
  pictures = folder / "pictures"
  pictures.mkdir()
  for number, image in enumerate(test[:60, ..., 0]):
    # Colour, and twice as large.
    enlarged = image.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(enlarged).convert("RGB").save(pictures / f"{number}.png")
  names = {name: f"npz:{folder / name}.npz" for name in arrays}
  return names | {"pictures": f"folder:{pictures}"}


Scored = dict[str, Any]


@pytest.fixture
def scored(sets: dict[str, str]) -> Callable[..., Scored]:
  def score_by_name(real: str, generated: str, **options: Any) -> Scored:
    spec = runs.DataSpec(sets.get(real, real))
    return image_scores.score(
      spec, sets[generated], **{"judge": "digits", "say": lambda _: None} | options
    )

  return score_by_name


def test_real_images_noise_and_copies_are_told_apart(scored, asked: list[str]) -> None:
  real = scored("unlabelled", "digits")
  assert asked == ["digits"]
  held_out, same = real["real"], real["generated"]
  # The same images have the same scores, whichever side they are on.
  for measure in evaluation.MEASURES:
    assert held_out[measure.field] == same[measure.field]
  noise = scored("unlabelled", "noise")["generated"]
  assert noise["fid"] > 10 * same["fid"] and noise["recall"] < 0.1 < 0.8 < same["recall"]
  copies = scored("unlabelled", "copies")["generated"]
  assert copies["suspected_copies"] == 1.0 and held_out["suspected_copies"] < 0.05


def test_images_that_come_class_by_class_are_scored_as_mixed_ones(scored) -> None:
  mixed, by_class = (scored("unlabelled", n)["generated"] for n in ("digits", "by class"))
  slack = 3 * mixed["inception_score_deviation"] / 10**0.5
  assert by_class["inception_score"] == pytest.approx(mixed["inception_score"], abs=slack)


def test_anybodys_pictures_are_brought_to_what_the_judge_sees(scored) -> None:
  found = scored("unlabelled", "pictures")
  assert found["image_shape"] == [28, 28, 1]
  # All 60, none of them held out, and as good as the digits that they are.
  assert found["generated"]["num_images"] == 60
  assert found["generated"]["fid"] < scored("unlabelled", "noise")["generated"]["fid"] / 10


def test_a_half_is_held_out_where_there_are_no_test_images(sets: dict[str, str]) -> None:
  said: list[str] = []
  name = sets["no test"]
  found = image_scores.score(runs.DataSpec(name), sets["digits"], judge="digits", say=said.append)
  count = len(data.load("digits").images)
  assert found["real"]["num_images"] == count // 2 and found["real"]["num_train"] == count // 2
  assert any("held out: a half of its images, as it has no test images" in line for line in said)
  # The real ones' own row stands above.
  rows = [line.partition(",")[0] for line in said if "precision" in line]
  assert rows == ["real", "generated"]
  # More than 359 of them: FID is lower by that alone.
  assert said[-1].startswith("FID falls with the number of images: of 719 and of 359 ")


def test_labelled_images_judge_themselves(scored, sets: dict[str, str], asked: list[str]) -> None:
  scored("labelled", "digits", judge=None)
  assert asked == [sets["labelled"]]
  with pytest.raises(ValueError, match=r"judge: expected a labelled data set.*--inception_weights"):
    scored("unlabelled", "digits", judge=None)


def test_a_reference_is_made_once(
  scored, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  place = tmp_path / "real.npz"
  first = scored("unlabelled", "noise", reference=place)
  assert first == scored("unlabelled", "noise")
  monkeypatch.setattr(evaluation, "reference", lambda *_: pytest.fail("made again"))
  assert scored("unlabelled", "noise", reference=place) == first
  with pytest.raises(ValueError, match=r"reference: expected statistics of the real images at"):
    scored("no test", "noise", reference=place)
  with pytest.raises(FileNotFoundError, match=r"reference: expected a folder for .*nowhere"):
    scored("unlabelled", "noise", reference=tmp_path / "nowhere" / "real.npz")


@pytest.mark.parametrize(
  ("real", "generated", "told"),
  [
    ("unlabelled", "few", "generated images of npz:.*few.npz: expected at least 10, .* got 9"),
    ("few", "digits", "real images of npz:.*few.npz: expected at least 10, .* got 5"),
  ],
)
def test_too_few_images_are_told_of_before_a_judge_is_trained(
  real: str, generated: str, told: str, scored, asked: list[str]
) -> None:
  with pytest.raises(ValueError, match=told):
    scored(real, generated)
  assert not asked


def test_inceptions_own_resizing_is_not_asked_for(scored, sets: dict[str, str], tmp_path) -> None:
  np.savez(tmp_path / "x.npz", images=np.zeros((20, 300, 300), np.uint8))
  with pytest.raises(ValueError, match=r"image_size: expected at most 299 .*give --image_size=299"):
    scored(f"npz:{tmp_path / 'x.npz'}", "digits", judge=None, inception_weights="x.pth")
  with pytest.raises(FileNotFoundError, match="inception_weights: expected a file"):
    scored("unlabelled", "digits", judge=None, inception_weights="x.pth")
  with pytest.raises(ValueError, match="judge: expected a classifier or Inception's weights"):
    scored("unlabelled", "digits", inception_weights="x.pth")


def test_the_command_line_of_images(
  sets: dict[str, str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  out = tmp_path / "scores.json"
  images = [f"--real={sets['unlabelled']}", f"--generated={sets['pictures']}", "--judge=digits"]
  with helpers.given(score, *images, f"--out={out}"):
    score._main()
  found = json.loads(out.read_text())
  said = capsys.readouterr().out
  assert f"generated, 60: IS {found['generated']['inception_score']:.2f}" in said
  assert found["command"] and found["judge"].startswith("classifier of digits")
  for arguments, told in (
    (
      [images[0], "--judge=digits"],
      r"^generated: expected generated images, as folder:PATH, got",
    ),
    ([images[1]], r"^real: expected real images, as folder:PATH, got none"),
    ([*images, "--model=x"], r"^model: expected without --real and --generated, got 'x'"),
    (["--reference=x"], r"^reference: expected only with --real and --generated, got 'x'"),
  ):
    with helpers.given(score, *arguments), pytest.raises(ValueError, match=told):
      score._main()


def test_a_networks_samples(
  nsn: nsn_jax.NSN,
  sets: dict[str, str],
  asked: list[str],
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
) -> None:
  nsn_jax.save(tmp_path / "model.safetensors", nsn)
  model = [f"--model={tmp_path / 'model.safetensors'}", "--num_samples=100"]

  def scores(*arguments: str) -> dict[str, Any]:
    with helpers.given(score, *model, *arguments):
      score._main()
    return json.loads((tmp_path / "model.score.json").read_text())

  found = scores("--dataset=digits")
  assert found["real"]["fid"] < found["samples"]["fid"]
  assert found["samples"]["num_images"] == 100 and len(found["samples"]["class_shares"]) == 10
  assert f"FID {found['samples']['fid']:.2f}" in capsys.readouterr().out
  # What has no labels is judged by another's classifier, against its own images.
  again = scores(f"--dataset={sets['unlabelled']}", "--judge=digits")
  assert again["judge"].startswith("classifier of digits")
  assert again["samples"] == found["samples"] and asked == ["digits", "digits"]
  with pytest.raises(ValueError, match=r"judge: expected a labelled data set.*--judge=\.\.\.$"):
    scores(f"--dataset={sets['unlabelled']}")
