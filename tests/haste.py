"""Programs that are compiled in a third of the time or less: for tests of something else.

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

#: Options of XLA: loops are not written by the many passes of MLIR, LLVM does little to them, and a
#: program is not cut into parts for threads to compile. XLA ends a process that names an option
#: which it does not know: these are of known versions.
_OPTIONS: dict[str, int | bool] = (
  {
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
  }
  if jaxlib.__version__.startswith("0.10.")
  else {}
)
#: LLVM's level. At 0 programs are compiled in half of the time of 1, and loops run for several
#: times as long: a small network's training took 14 s, 2 of them for loops, and 25 s, 1 of them.
_LEVEL = "xla_backend_optimization_level"
#: Linux gives a process 65,530; XLA dies where it gets none. A program takes about 20.
_MOST_MAPS = 20_000


_compile_options = compiler.get_compile_options
_xla_flags = os.environ.get("XLA_FLAGS")


class _Programs:
  """Of this process: how they are compiled now, and whether those that JAX holds are in haste."""

  in_haste: bool | None = None
  for_long: bool = False
  held: bool | None = None


def _options() -> dict[str, int | bool]:
  return {_LEVEL: int(_Programs.for_long), **_OPTIONS}


def _in_haste(*given: Any, **named: Any) -> Any:
  options = _compile_options(*given, **named)
  options.env_option_overrides = [*_options().items(), *options.env_option_overrides]
  return options


def _is_possible() -> bool:
  return bool(_OPTIONS) and jax.default_backend() == "cpu"


def _flags() -> str:
  """XLA_FLAGS of a process whose programs are to be compiled in haste."""
  own = [f"--{name}={str(value).lower()}" for name, value in _options().items()]
  # The last one counts: what a user has set stays.
  return " ".join((*(own if _is_possible() else ()), _xla_flags or ""))


def _compile(in_haste: bool | None, for_long: bool) -> None:
  """From now on, also in processes that are started; None between tests: whatever is next."""
  # The backend is there after this: XLA has read XLA_FLAGS, and what is set here is for others.
  possible = _is_possible()
  if in_haste is not None and in_haste != _Programs.held:
    jax.clear_caches()  # JAX does not tell programs of one kind from those of the other.
    _Programs.held = in_haste
  _Programs.in_haste, _Programs.for_long = in_haste, for_long
  # JAX has no public way to give a whole process an option once XLA has begun.
  compiler.get_compile_options = _in_haste if in_haste and possible else _compile_options
  if in_haste and possible:
    os.environ["XLA_FLAGS"] = _flags()
  elif _xla_flags is not None:
    os.environ["XLA_FLAGS"] = _xla_flags
  else:
    os.environ.pop("XLA_FLAGS", None)


@contextlib.contextmanager
def compiled(*, in_haste: bool, for_long: bool = False) -> Iterator[None]:
  """The block's programs are compiled in haste, or as users have them.

  Those that are to run for long, as classifiers are trained, in less haste: LLVM looks at loops.
  """
  before = _Programs.in_haste, _Programs.for_long
  _compile(in_haste, for_long)
  try:
    yield
  finally:
    _compile(*before)


def let_go() -> None:
  """Forgets all programs where they fill the memory maps: XLA dies where thousands of them do."""
  maps = pathlib.Path("/proc/self/maps")
  if not maps.exists() or maps.read_bytes().count(b"\n") > _MOST_MAPS:
    jax.clear_caches()
