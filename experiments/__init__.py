"""Launchers: `python -m experiments.NAME`, from a clone of the repository.

Each imports nsn_jax, which knows none of them; none imports another.
"""

import importlib.abc
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

__all__: list[str] = []


def _leave(*_: object) -> None:
  """Ends the process on Ctrl-C: while jax is imported, an exception would be a long traceback."""
  os.write(2, b"interrupted\n")
  os._exit(128 + signal.SIGINT)


# `python -m` imports this package first, and calls itself so until it has found the launcher, which
# then handles signals itself. A notebook or a test keeps its own handlers.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
  signal.signal(signal.SIGINT, _leave)

from nsn_jax import extras  # noqa: E402  # It imports jax.

#: What the extra `experiments` brings.
_NEEDED = (
  "absl",
  "filelock",
  "flax",
  "jinja2",
  "matplotlib",
  "PIL",
  "skimage",
  "sklearn",
  "tabulate",
  "tqdm",
)

#: Where launchers went, by their former names.
_MOVED = {
  "benchmark": "studies.speed",
  "effects": "paper.sampler_effects",
  "epsilon": "studies.epsilon",
  "growth_check": "studies.growth_vs_kmeans",
  "interpolation": "paper.arithmetic",
  "occlusion": "paper.filling",
  "samples": "paper.sample_grids",
  "style": "paper.styling",
  "table1": "paper.table1",
  "table2": "paper.table2",
  "tables34": "paper.tables34",
  "train_gan": "train_baseline",
}


class _Moved(importlib.abc.MetaPathFinder):
  """Names the successor of a launcher that is asked for by its former name."""

  def find_spec(
    self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
  ) -> None:
    """Raises ImportError, of which `python -m` makes one line; knows no module."""
    package, _, name = fullname.rpartition(".")
    if package == __name__ and name in _MOVED:
      raise ImportError(f"{fullname} is now {package}.{_MOVED[name]}, with the same flags")


# Last: it is asked for what is not there, and for nothing else.
sys.meta_path.append(_Moved())

extras.require(__name__, "experiments", _NEEDED)
