"""What the training of a network keeps in its folder as it goes on, and goes on from."""

import pathlib
from collections.abc import Callable

import nsn_jax

__all__ = ["KeptTraining"]


class KeptTraining:
  """The layers that are finished, and where training is within the next.

  Both lie in files that are whole or not there, so that a process may be killed at any instant.

  Attributes:
    network: the layers that are finished, perhaps none but the whitening; None before that.
    state: within the next layer, as an earlier run left it; None for none.
    on_state: keeps the state, as `nsn_jax.fit` calls it.
  """

  def __init__(
    self,
    partial: pathlib.Path,
    within: pathlib.Path,
    read: Callable[[pathlib.Path], nsn_jax.NSN],
    every_s: float,
    say: Callable[[str], None],
  ):
    """Reads and writes nothing yet.

    Args:
      partial: file of the finished layers.
      within: file of the state.
      read: reads the former; raises ValueError for a damaged one.
      every_s: seconds between two states that are written; 0 for each.
      say: told, in one line, of a state that is not gone on from, or cannot be kept.
    """
    self.network: nsn_jax.NSN | None = None
    self.state: nsn_jax.TrainingState | None = None
    self.on_state = nsn_jax.StateWriter(within, every_s, warn=say)
    self._partial, self._read, self._say = partial, read, say

  def load(self) -> None:
    """Reads what an earlier run left. A damaged state is told of, and is none.

    Raises:
      ValueError: for a damaged network.
    """
    if self._partial.is_file():
      self.network = self._read(self._partial)
    try:
      self.state = nsn_jax.load_state(self.on_state.path)
    except FileNotFoundError:
      pass
    except nsn_jax.StateError as error:
      self.refuse(error)

  def refuse(self, error: nsn_jax.StateError) -> None:
    """Takes the state for none, and says why."""
    self.state = None
    self._say(f"{error}: training goes on from the last finished layer")

  @property
  def num_layers(self) -> int:
    """Those that are finished."""
    return 0 if self.network is None else self.network.num_layers

  @property
  def seconds(self) -> float:
    """That an earlier run spent within the layer under way."""
    return self.state.history[-1].seconds if self.state and self.state.history else 0.0

  def on_begin(self, nsn: nsn_jax.NSN) -> None:
    """Keeps the whitening, which takes minutes to fit, in a network of no layers."""
    if self.network is None:
      self._keep(nsn)

  def on_layer(self, nsn: nsn_jax.NSN) -> None:
    """Keeps a finished layer, and no state of it any longer."""
    self._keep(nsn)
    self.state = None
    self.on_state.clear()

  def finish(self) -> None:
    """Removes all, as the whole network is kept."""
    self._partial.unlink(missing_ok=True)
    self.on_state.clear()

  def close(self) -> None:
    """Writes the newest state, where it is not written yet."""
    self.on_state.close()

  def _keep(self, nsn: nsn_jax.NSN) -> None:
    nsn_jax.save(self._partial, nsn)
    self.network = nsn

  def __str__(self) -> str:
    """What lies on the disk, for people."""
    layers = "finished layers are kept" if self.num_layers else "no layer is finished yet"
    state = self.on_state.kept or self.state
    if state is not None and state.layer == self.num_layers:
      layer_state = state.state
      return (
        f"{layers}, layer {state.layer} is kept up to step {layer_state.step} of "
        f"{layer_state.phase}"
      )
    if self.network is not None and self.network.whitening is not None and not self.num_layers:
      return f"{layers}, its whitening is kept"
    return layers
