"""Image data sets as uint8 arrays, decoded once and then mapped: they need not fit the memory.

`load` knows every data set by name (`NAMES`): scikit-learn's digits (no download), TFDS data sets
read without TensorFlow, a folder of images (`folder:PATH`) and saved arrays (`npz:PATH`).
"""

from nsn_jax import extras

extras.require(__name__, "data", ("absl", "PIL", "tqdm"))

from nsn_jax.data.dataset import DataError, Dataset, MissingSplitError
from nsn_jax.data.loading import NAMES, is_known, load

__all__ = ["NAMES", "DataError", "Dataset", "MissingSplitError", "is_known", "load"]
