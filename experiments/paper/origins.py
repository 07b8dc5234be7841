"""Who found the sampler's settings of each preset: Table 2 says so beside who scored."""

import enum

__all__ = ["FOUND_BY", "Origin"]


class Origin(enum.StrEnum):
  """How settings were found."""

  #: By `experiments.tune_sampler`: FID, precision and recall of a classifier that scores nothing.
  FINDER = "finder"
  #: By the inception score of the classifier that scores Table 2, before there was a finder.
  JUDGE = "judge"
  EYE = "eye"


#: By preset. Whoever puts what `experiments.tune_sampler` found into a preset says so here.
FOUND_BY: dict[str, Origin] = {
  "digits": Origin.JUDGE,
  "mnist": Origin.JUDGE,
  "mnist-large": Origin.JUDGE,
  "mnist-best": Origin.FINDER,
  "mnist-plain": Origin.JUDGE,
  "fashion_mnist": Origin.JUDGE,
  "fashion_mnist-plain": Origin.JUDGE,
  "fashion_mnist-large": Origin.JUDGE,
  "fashion_mnist-best": Origin.FINDER,
  "lfw": Origin.EYE,
  "lfw-best": Origin.EYE,
  "church": Origin.EYE,
  "church-best": Origin.EYE,
  "church-plain": Origin.EYE,
}
