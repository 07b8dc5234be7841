"""Programs that are compiled in half of the time or less: for tests of something else.

The tests' time is XLA's: most programs run for moments and are compiled for half a second. Tests of
launchers, files and judges want a network, whoever compiled it. Tests of the library's own numbers
are not in haste: they see the programs that users have.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jaxlib
from jax._src import compiler

#: Options of XLA: loops are not written by the many passes of MLIR, and LLVM does little to them.
#: (At its level 0 programs are compiled sooner still, and classifiers train several times as long.)
#: XLA ends a process that names an option which it does not know: these are of known versions.
_OPTIONS: dict[str, int | bool] = (
  {
    "xla_backend_optimization_level": 1,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
  }
  if jaxlib.__version__.startswith("0.10.")
  else {}
)
#: Linux gives a process 65,530; XLA dies where it gets none. A program takes about 20.
_MOST_MAPS = 20_000


_compile_options = compiler.get_compile_options
_xla_flags = os.environ.get("XLA_FLAGS")


class _Programs:
  """Of this process: whether they are compiled in haste now; whether those were that JAX holds."""

  in_haste: bool | None = None
  held: bool | None = None


def _in_haste(*given: Any, **named: Any) -> Any:
  options = _compile_options(*given, **named)
  options.env_option_overrides = [*_OPTIONS.items(), *options.env_option_overrides]
  return options


def _compile(in_haste: bool | None) -> None:
  """From now on, also in processes that are started; None between tests: whatever is next."""
  # The backend is there after this: XLA has read XLA_FLAGS, and what is set here is for others.
  possible = bool(_OPTIONS) and jax.default_backend() == "cpu"
  if in_haste is not None and in_haste != _Programs.held:
    jax.clear_caches()  # JAX does not tell programs of one kind from those of the other.
    _Programs.held = in_haste
  _Programs.in_haste = in_haste
  # JAX has no public way to give a whole process an option once XLA has begun.
  compiler.get_compile_options = _in_haste if in_haste and possible else _compile_options
  flags = [f"--{name}={str(value).lower()}" for name, value in _OPTIONS.items()]
  if in_haste and possible:
    # The last one counts: what a user has set stays.
    os.environ["XLA_FLAGS"] = " ".join((*flags, _xla_flags or ""))
  elif _xla_flags is not None:
    os.environ["XLA_FLAGS"] = _xla_flags
  else:
    os.environ.pop("XLA_FLAGS", None)


@contextlib.contextmanager
def compiled(*, in_haste: bool) -> Iterator[None]:
  """The block's programs are compiled in haste, or as users have them."""
  before = _Programs.in_haste
  _compile(in_haste)
  try:
    yield
  finally:
    _compile(before)


def let_go() -> None:
  """Forgets all programs where they fill the memory maps: XLA dies where thousands of them do."""
  maps = pathlib.Path("/proc/self/maps")
  if not maps.exists() or maps.read_bytes().count(b"\n") > _MOST_MAPS:
    jax.clear_caches()
