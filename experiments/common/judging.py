"""Scores of samples by a small classifier of the same data set, as the paper does by its network.

The paper scores with the ImageNet Inception network; small grey images are better judged by a
classifier that knows them. It is trained on all images of the data set, at the size of the samples,
whatever part of them a model saw. It scores, and finds no setting: `finding` has who does.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

import nsn_jax
from nsn_jax import data, metrics, pixel_range
from nsn_jax.metrics import evaluation

__all__ = [
  "NETWORKS",
  "Judge",
  "Score",
  "check_held_out",
  "judge",
  "judging_set",
  "labelled",
  "no_judge",
  "recipe",
  "score",
  "score_samples",
  "title",
  "trained",
]

#: How each data set's judge is trained: at least 99.2% on MNIST, 92% on Fashion-MNIST, 97% on the
#: digits, on their test images. Folders are of photographs: 86.1% on 64x64 ones of six scenes, in
#: 20 minutes on a CPU core.
_RECIPES: dict[str, dict[str, Any]] = {
  "digits": {"num_epochs": 30, "batch_size": 32, "max_shift": 1},
  "mnist": {"num_epochs": 5},
  "fashion_mnist": {"num_epochs": 10, "max_shift": 1, "flip": True},
  "folder": {
    "num_epochs": 25,
    "max_shift": 6,
    "flip": True,
    "architecture": metrics.Architecture(
      channels=(32, 64, 128, 256), kernels=(5, 3, 3, 3), dropout=0.5
    ),
  },
}
_DEFAULT_RECIPE: dict[str, Any] = {"num_epochs": 10}

#: What a FractalNet has of its own. Normalised, it takes larger steps, and drop-path wants them.
_FRACTAL = {"architecture": metrics.FractalArchitecture(), "learning_rate": 0.01}

#: Networks that a judge may be, and what they are called. A second opinion: one of another kind,
#: trained the same way.
NETWORKS = {"classifier": "classifier", "fractal": "FractalNet"}

#: Of the order in which images are split: the same for real ones and samples, and from run to run.
_ORDER_SEED = 0


@dataclasses.dataclass(frozen=True)
class Score:
  """What a classifier makes of a set of images.

  Attributes:
    inception_score: exp of the mean KL divergence, over 10 splits.
    deviation: over the splits.
    confidence: mean probability of each image's most likely class.
    class_shares: share of the images that each class wins.
    mean_pixel_ratio: mean pixel of the clipped images over that of the training images.
    white_excess: share of their pixels that are white, 250 and more of 255, less that of the
      training images' pixels: what a contrast that saturates makes.
  """

  inception_score: float
  deviation: float
  confidence: float
  class_shares: tuple[float, ...]
  mean_pixel_ratio: float
  white_excess: float

  def row(self) -> str:
    """One line for a table."""
    low, high = min(self.class_shares), max(self.class_shares)
    return (
      f"IS {self.inception_score:.2f} +- {self.deviation:.2f}  confidence {self.confidence:.3f}  "
      f"classes {low:.1%} to {high:.1%}  mean pixel x{self.mean_pixel_ratio:.2f}  "
      f"white {self.white_excess:+.1%}"
    )

  def as_dict(self) -> Mapping[str, object]:
    """Plain values for JSON."""
    return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Judge:
  """A classifier, how good it is, and the data it knows.

  Attributes:
    classifier: trained on the training images.
    test_accuracy: on the test images.
    train: the training set.
    test: the test set.
  """

  classifier: metrics.Classifier
  test_accuracy: float
  train: data.Dataset
  test: data.Dataset

  # A search scores hundreds of settings against the same training images.
  @functools.cached_property
  def mean_pixel(self) -> float:
    """Of the training images, in 0-255."""
    return float(self.train.images.mean())

  @functools.cached_property
  def white_share(self) -> float:
    """Share of the training images' pixels that are white."""
    return _white(self.train.images)


def judging_set(dataset: str, labels: object, scenes: str | None) -> str | None:
  """The data set whose classifier judges `dataset`: itself, or the scenes where it has no labels.

  Args:
    dataset: name, as `nsn_jax.data.load` takes it.
    labels: of its images, or None.
    scenes: folder of labelled scenes, if there is one.
  """
  if labels is not None:
    return dataset
  return f"folder:{scenes}" if scenes else None


def no_judge(dataset: str, instead: str | None = None, *, flag: str = "scenes") -> ValueError:
  """The error of a data set that nothing can judge.

  Args:
    dataset: its name.
    instead: another flag that will do, with its value.
    flag: that takes a labelled data set.
  """
  expected = "a folder of labelled scenes" if flag == "scenes" else "a labelled data set"
  return ValueError(
    f"{flag}: expected {expected}, as {dataset!r} has no labels to judge by, "
    f"got none: give --{flag}=...{f' or {instead}' if instead else ''}"
  )


def check_held_out(dataset: str, images: np.ndarray) -> None:
  """Raises ValueError where real images are too few to score: before their judge is trained."""
  evaluation.check_count(f"test images of {dataset}", len(images))


def judge(
  dataset: str,
  *,
  data_dir: str | None = None,
  image_size: int | None = None,
  network: str = "classifier",
  seed: int = 0,
) -> Judge:
  """The data set and its classifier, trained once and kept in the cache.

  Args:
    dataset: name, as `nsn_jax.data.load` takes it.
    data_dir: see there.
    image_size: see there.
    network: of `NETWORKS`.
    seed: of the training.

  Raises:
    ValueError: for a data set without labels, or an unknown network.
  """
  options = recipe(dataset, network)
  train, test = labelled(dataset, data_dir=data_dir, image_size=image_size)
  found = trained("judge", dataset, jax.random.key(seed), train, test, options)
  return Judge(found.classifier, found.test_accuracy, train, test)


def labelled(
  dataset: str, *, data_dir: str | None = None, image_size: int | None = None
) -> tuple[data.Dataset, data.Dataset]:
  """Training and test images of a data set whose labels a classifier is to learn.

  Raises:
    ValueError: for a data set without labels.
  """
  train, test = (
    data.load(dataset, split=split, data_dir=data_dir, image_size=image_size)
    for split in ("train", "test")
  )
  if train.labels is None or test.labels is None:
    raise ValueError(f"dataset: expected one with labels, to train its judge, got {dataset!r}")
  return train, test


def recipe(dataset: str, network: str = "classifier") -> dict[str, Any]:
  """How the judge of a data set is trained: keywords of `metrics.train_classifier`.

  Raises:
    ValueError: for a network that is none of `NETWORKS`.
  """
  if network not in NETWORKS:
    raise ValueError(f"network: expected one of {', '.join(NETWORKS)}, got {network!r}")
  found = dict(_RECIPES.get(dataset.partition(":")[0], _DEFAULT_RECIPE))
  return found | (_FRACTAL if network == "fractal" else {})


def trained(
  role: str,
  dataset: str,
  key: jax.Array,
  train: data.Dataset,
  test: data.Dataset,
  options: Mapping[str, Any],
) -> metrics.TrainedClassifier:
  """A classifier from the cache, or trained with a progress line.

  Args:
    role: what it is to do, for that line.
    dataset: name; begins the file's in the cache.
    key: PRNG key of the training.
    train: labelled images to train on.
    test: labelled images that its accuracy is of.
    options: keywords of `metrics.train_classifier`.
  """
  assert train.labels is not None and test.labels is not None  # As `labelled` gives them.
  with tqdm(desc=f"{role} of {dataset}", unit="epoch", leave=False, disable=None) as bar:

    def progress(done: int, num_epochs: int, loss: float) -> None:
      bar.total = num_epochs
      bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
      bar.update(done - bar.n)

    return metrics.trained_classifier(
      key,
      dataset.replace("/", "-").replace(":", "-").strip("-"),
      (train.images, train.labels),
      (test.images, test.labels),
      progress=progress,
      **options,
    )


def title(dataset: str, judging_set: str, test_accuracy: float, network: str = "classifier") -> str:
  """What a classifier that judges a data set is called.

  >>> title("lfw", "folder:photos", 0.861)
  'classifier of scenes, 86.10% on test images'
  >>> title("mnist", "mnist", 0.994, "fractal")
  'FractalNet of mnist, 99.40% on test images'
  """
  of = "scenes" if judging_set != dataset and judging_set.startswith("folder:") else judging_set
  return f"{NETWORKS[network]} of {of}, {test_accuracy:.2%} on test images"


def score(judged_by: Judge, images: np.ndarray) -> Score:
  """Scores uint8 images [N, H, W, C], at least 10, in whatever order.

  Raises:
    ValueError: for fewer.
  """
  evaluation.check_count("images", len(images))
  probabilities = judged_by.classifier.outputs(images).probabilities
  # Images of folders come class by class, and a split of one class has no score.
  number = metrics.inception_score(probabilities, key=jax.random.key(_ORDER_SEED))
  classes = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
  return Score(
    number.mean,
    number.deviation,
    float(probabilities.max(axis=1).mean()),
    tuple(float(c) for c in classes / len(images)),
    float(images.mean() / judged_by.mean_pixel),
    _white(images) - judged_by.white_share,
  )


def _white(images: np.ndarray) -> float:
  return float((images >= 250).mean())


def score_samples(
  key: jax.Array,
  judged_by: Judge,
  nsn: nsn_jax.NSN,
  num_samples: int,
  sampler: nsn_jax.SamplerConfig | None = None,
) -> tuple[Score, np.ndarray]:
  """Draws samples and scores them; returns them too, uint8."""
  images = pixel_range.to_uint8(nsn_jax.sample(key, nsn, num_samples, sampler))
  return score(judged_by, images), images
