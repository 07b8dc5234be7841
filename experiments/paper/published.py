"""The paper's own numbers (Nandy, Hsu & Lee, arXiv:1805.05269), all in one place."""

__all__ = ["FILTERS", "INCEPTION_SCORES", "filter_counts", "inception_score"]

#: Table 2: inception score, mean and deviation, of each data set's models, in this order.
_MODELS = ("real", "dcgan", "wgan", "lsgan", "nsn")
_TABLE2 = {
  "mnist": ((1.99, 0.01), (2.27, 0.01), (2.02, 0.02), (2.03, 0.01), (2.44, 0.02)),
  "fashion_mnist": ((4.25, 0.05), (4.15, 0.04), (3.00, 0.03), (4.45, 0.03), (3.85, 0.04)),
  "lfw": ((3.64, 0.28), (2.67, 0.03), (2.94, 0.03), (2.33, 0.02), (3.04, 0.10)),
  "lsun/church_outdoor": ((2.70, 0.04), (2.89, 0.02), (3.05, 0.02), (3.44, 0.04), (2.99, 0.02)),
}
#: The same by data set and model.
INCEPTION_SCORES = {
  dataset: dict(zip(_MODELS, row, strict=True)) for dataset, row in _TABLE2.items()
}
#: Buildings of other kinds stand in for the paper's churches.
_CHURCHES = "lsun/church_outdoor"

#: Tables 3 and 4: filters found in each layer, pixels first, by the preset of the same data.
FILTERS = {
  "mnist": (96, 130, 131),
  "fashion_mnist": (140, 238, 256),
  "lfw": (284, 242, 240, 235, 161),
  "church": (273, 263, 325, 398, 210),
}


def inception_score(dataset: str, model: str) -> tuple[float, float] | None:
  """Mean and deviation for a model on a data set, or on what stands in for it; None for neither.

  >>> inception_score("folder:photos/buildings", "nsn")
  (2.99, 0.02)
  """
  stands_in = any(word in dataset.lower() for word in ("building", "church"))
  found = INCEPTION_SCORES.get(dataset, INCEPTION_SCORES[_CHURCHES] if stands_in else {})
  return found.get(model)


def filter_counts(preset: str | None) -> tuple[int, ...]:
  """The numbers for a preset, plain or large: what stands in for its data has them too.

  >>> filter_counts("mnist-large"), filter_counts(None)
  ((96, 130, 131), ())
  """
  return FILTERS.get((preset or "").partition("-")[0], ())
