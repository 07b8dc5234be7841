"""What the models of Tables 1 and 2 are called."""

from nsn_jax import baselines

__all__ = ["NSN", "REAL", "family", "titles", "trainable"]

#: `nsn` is the data set's own preset, `nsn-plain` the one on plain images, `nsn-large` the one of
#: more filters, `nsn-best` the one past the paper.
NSN = {"nsn": "NSN", "nsn-plain": "NSN, plain", "nsn-large": "NSN, large", "nsn-best": "NSN, best"}
#: The row of held-out images.
REAL = "real"


def trainable() -> dict[str, str]:
  """Titles, by name, of what can be trained: every baseline, and NSN."""
  return {name: model.title for name, model in baselines.MODELS.items()} | NSN


def titles() -> dict[str, str]:
  """Titles, by name, of all rows, in the tables' order."""
  return {REAL: "real, held out"} | trainable()


def family(name: str) -> str:
  """What a row is grouped with: real images, a baseline's family, or NSN."""
  if name == REAL:
    return REAL
  return str(baselines.MODELS[name].family) if name in baselines.MODELS else "NSN"
