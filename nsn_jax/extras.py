"""What is optional: an error that names what is missing and how to install it."""

import importlib.util
from collections.abc import Sequence

__all__ = ["require"]


def require(package: str, extra: str, modules: Sequence[str]) -> None:
  """Raises ImportError, one line, where a package lacks what its extra brings.

  Args:
    package: that is being imported; `python -m` of a module in it then prints the line alone.
    extra: of this distribution.
    modules: that the package cannot do without.
  """
  missing = [name for name in modules if importlib.util.find_spec(name) is None]
  if missing:
    raise ImportError(
      f"{package} needs {', '.join(missing)}: pip install 'nsn_jax[{extra}]'", name=package
    )
