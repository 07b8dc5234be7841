"""Keeps what orbax prints of damaged files to itself: who reads them tells of them in one line."""

import asyncio
import contextlib
import logging
import pathlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp
from absl import logging as absl_logging

__all__ = ["quietly"]

_T = TypeVar("_T")

_ORBAX = str(pathlib.Path(ocp.__file__).parent)


class _LateResultsDropped(asyncio.DefaultEventLoopPolicy):
  """Another policy, whose loops take no offence at calls that come when they are closed.

  Orbax reads all arrays at once and closes its loop at the first that fails; the others then fail
  one by one, many in threads of the library below it, each with a traceback of its own.
  """

  def __init__(self, outer: asyncio.AbstractEventLoopPolicy):
    super().__init__()
    self._outer = outer

  def get_event_loop(self) -> asyncio.AbstractEventLoop:
    return self._outer.get_event_loop()

  def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
    self._outer.set_event_loop(loop)

  def new_event_loop(self) -> asyncio.AbstractEventLoop:
    loop = self._outer.new_event_loop()
    # Of errors that nobody asked for, told of when they are let go.
    loop.set_exception_handler(lambda *_: None)
    call = loop.call_soon_threadsafe

    def call_soon_threadsafe(*args: Any, **kwargs: Any) -> Any:
      try:
        return call(*args, **kwargs)
      except RuntimeError:
        if not loop.is_closed():
          raise
        return None

    setattr(loop, call.__name__, call_soon_threadsafe)
    return loop


def quietly(call: Callable[[], _T]) -> _T:
  """What `call` returns, who reads by orbax: that logs nothing, and late results are dropped."""
  with _silent():
    try:
      asyncio.get_running_loop()
    except RuntimeError:
      return call()
    # In a notebook: where a loop runs, orbax reads in another, which is not of the policy.
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    with futures.ThreadPoolExecutor(1) as threads:
      return threads.submit(_on, device, call).result()


def _on(device: jax.Device | None, call: Callable[[], _T]) -> _T:
  """`call` by another thread, which has a default device of its own."""
  with jax.default_device(device):
    return call()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
  logger, outer = absl_logging.get_absl_logger(), asyncio.get_event_loop_policy()
  asyncio.set_event_loop_policy(_LateResultsDropped(outer))
  logger.addFilter(_is_not_orbaxs)
  try:
    yield
  finally:
    logger.removeFilter(_is_not_orbaxs)
    asyncio.set_event_loop_policy(outer)


def _is_not_orbaxs(record: logging.LogRecord) -> bool:
  return not record.pathname.startswith(_ORBAX)
