"""Image data sets as uint8 arrays, decoded once and then mapped: they need not fit the memory.

`load` knows every data set by name (`NAMES`): scikit-learn's digits (no download), TFDS data sets
read without TensorFlow, a folder of images (`folder:PATH`) and saved arrays (`npz:PATH`).

`render` makes images of known factors, a `FactorGrid`'s or any; `hold_out` draws combinations that
are kept from a training, and `choose_prototypes` chooses what they are rendered from.
"""

from nsn_jax import extras

extras.require(__name__, "data", ("absl", "PIL", "tqdm"))

from nsn_jax.data.dataset import DataError, Dataset, MissingSplitError
from nsn_jax.data.factor_grid import FactorGrid, hold_out
from nsn_jax.data.known_factors import Factors, render
from nsn_jax.data.loading import NAMES, is_known, load
from nsn_jax.data.prototypes import choose_prototypes

__all__ = [
  "NAMES",
  "DataError",
  "Dataset",
  "FactorGrid",
  "Factors",
  "MissingSplitError",
  "choose_prototypes",
  "hold_out",
  "is_known",
  "load",
  "render",
]
