"""Training: layers one after the other, from the pixels up."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import (
  alike,
  checks,
  layer,
  network,
  origin,
  placement,
  processes,
  rows,
  stream,
  threads,
)
from nsn_jax.basis import LEAST_VALUES, NUM_PATCHES, Basis, find_basis, lift
from nsn_jax.completion import complete
from nsn_jax.config import LayerConfig, NetworkConfig
from nsn_jax.curves import check_windows
from nsn_jax.factor_training import train_factors
from nsn_jax.filters import Filters
from nsn_jax.network import NSN
from nsn_jax.one_network import network_of_first
from nsn_jax.placement import NUM_SHARDS
from nsn_jax.prior import prior_of
from nsn_jax.progress import Log, OnProgress, OnState, Record, TrainingState
from nsn_jax.training_state import check_state
from nsn_jax.whitening import fit_whitening

__all__ = ["fit", "fit_layer"]

#: A kilobyte; less is a mistake in the unit.
_LEAST_BUDGET_GB = 1e-6
#: More labels than that are no classes.
_MOST_CLASSES = 100_000
#: Purposes that keys are folded by: beyond any layer's number.
_FACTORS, _COMPLETION = 1 << 20, (1 << 20) + 1


def _train_layer(
  key: jax.Array,
  maps: stream.MapStream,
  config: LayerConfig,
  log: Log,
  memory_budget: int,
  resumed: TrainingState | None = None,
) -> tuple[Filters, list[Record]]:
  """Trains a layer, or goes on from a state: patches and basis are made again from their keys."""
  sample_key, growth_key, basis_key, more_key = (
    jax.random.fold_in(key, purpose) for purpose in range(4)
  )
  window = (config.kernel, config.stride)
  values = config.kernel**2 * maps.map_shape[-1]
  basis = None
  if config.use_basis and values >= LEAST_VALUES:
    few = max(min(NUM_PATCHES, memory_budget // (8 * values)), 2)
    patches = stream.sample_patches(sample_key, maps, *window, few, log.preparing("patches"))
    basis = _of_first(find_basis(basis_key, jnp.asarray(patches.gathered())))
    values = values if basis is None else basis.scale.size
  log.basis = "" if basis is None else origin.digest_of_some(basis)
  start = None
  if resumed is not None:
    start = resumed.state
    shape = (config.kernel, config.kernel, maps.map_shape[-1])
    _check_coordinates(resumed, log.basis, shape if basis is None else (1, 1, values), shape)

  def sample(key: jax.Array, most: int) -> placement.Shards:
    # A phase holds its patches, and about as much again while they are gathered.
    most = max(min(most, memory_budget // (8 * values)), 2)
    return stream.sample_patches(key, maps, *window, most, log.preparing("patches"), basis)

  phase = "growth" if start is None else start.phase
  filters = None if start is None else start.filters
  if phase in ("growth", "exchange"):
    patches = sample(sample_key, config.growth_patches)
    filters = layer.grow(growth_key, patches, config, log, start)
    phase, start = "sample", None
  assert filters is not None
  if basis is None:
    return layer.refine(maps, filters, config, log, start=start), log.history
  if phase == "sample":
    if config.max_passes > 1:
      patches = sample(more_key, config.sample_patches)
      filters = layer.settle(patches, filters, config, log, start)
    # What lies outside of the basis comes back with the patches themselves.
    filters, start = lift(filters, basis), None
  return layer.refine(maps, filters, config, log, 1, start), log.history


def _of_first(basis: Basis | None) -> Basis | None:
  """The first process's basis."""
  arrays = processes.arrays_of_first([] if basis is None else list(basis))
  return Basis(*map(jnp.asarray, arrays)) if arrays else None


@processes.losses_told()
@threads.one_blas_thread()
def fit_layer(
  key: jax.Array,
  feature_maps: np.ndarray | jax.Array,
  layer_config: LayerConfig,
  *,
  report: OnProgress | None = None,
  memory_budget_gb: float = 4.0,
  mesh: jax.sharding.Mesh | None = None,
  num_shards: int = NUM_SHARDS,
) -> tuple[Filters, list[Record]]:
  """Trains one layer: finds the number of its filters, and the filters.

  Args:
    key: PRNG key. The same key gives the same filters, bit for bit, on the same kind of machine.
    feature_maps: what the layer sees, float [N, H, W, C], finite; of several processes, each one's
      own (`local_rows`).
    layer_config: window, threshold and training.
    report: called as training goes on; see `nsn_jax.Progress`.
    memory_budget_gb: at least 1e-6; for the patches that growth looks at. The maps themselves, a
      batch under way, filters and programs come on top.
    mesh: as of `fit`.
    num_shards: as of `NetworkConfig`.

  Returns:
    The filters, and one record a training step.

  Raises:
    ValueError: for maps that are not as above, windows that leave values uncovered, a mesh whose
      devices do not hold whole shards, or processes that do not ask for the same.
    LostProcessError: an OSError; where another process has ended.
  """
  checks.integer("num_shards", num_shards, 2)
  place = placement.place(mesh, num_shards)

  def check() -> tuple[jax.Array, Any]:
    own_key = checks.key("key", key)
    checks.instance("layer_config", layer_config, LayerConfig)
    checks.function("report", report)
    maps = checks.feature_maps("feature_maps", feature_maps)
    checks.window(maps.shape[1:3], layer_config.kernel, layer_config.stride)
    return own_key, maps

  def facts(found: tuple[jax.Array, Any]) -> dict[str, str]:
    settings = {"num_shards": num_shards, "memory_budget_gb": _bytes(memory_budget_gb) / 1e9}
    return alike.facts(mesh, found[0], found[1], layer_config=layer_config, **settings)

  key, feature_maps = processes.agreed(check, facts)
  count = rows.count_rows(place, len(feature_maps))
  maps = stream.MapStream(
    np.asarray(feature_maps, np.float32), stream.Encoder(), place, num_images=count
  )
  log = Log(0, report)
  filters, history = _train_layer(key, maps, layer_config, log, _bytes(memory_budget_gb))
  return placement.on_one_device(filters), history


def _bytes(memory_budget_gb: float) -> int:
  return int(checks.number("memory_budget_gb", memory_budget_gb, _LEAST_BUDGET_GB) * 1e9)


@processes.losses_told()
@threads.one_blas_thread()
def fit(
  key: jax.Array,
  images: np.ndarray | jax.Array,
  config: NetworkConfig,
  *,
  initial: NSN | None = None,
  labels: np.ndarray | jax.Array | None = None,
  report: OnProgress | None = None,
  on_begin: Callable[[NSN], None] | None = None,
  on_layer: Callable[[NSN, list[Record]], None] | None = None,
  memory_budget_gb: float = 4.0,
  mesh: jax.sharding.Mesh | None = None,
  state: TrainingState | None = None,
  on_state: OnState | None = None,
) -> NSN:
  """Trains a network, layer by layer, and at last its prior, decoders and contrast.

  Args:
    key: PRNG key; layer l uses `fold_in(key, l)`, so that a layer can be trained again alone.
    images: [N, H, W, C], uint8, or float in [0, 1]. They stay on the host as they are, and may be
      mapped from a file. Of several processes each gives its own: `nsn_jax.local_rows` says which.
    config: the network; its last layer must end at 1x1.
    initial: a network of the same configuration whose layers are already trained in part;
      training goes on above them, and ends as if it had never stopped. One whose layers are all
      there, but not what follows them, is completed.
    labels: integer [N], from 0 on, for drawing one class (`sample`); no layer's training looks at
      them.
    report: called as training goes on; see `nsn_jax.Progress`.
    on_begin: called once, before the first layer, with the network that training goes on above:
      without `initial` one of no layers, whose whitening has been fitted. What is kept of it is an
      `initial` that spares fitting the whitening again.
    on_layer: called after each layer with the network so far and the layer's history.
    memory_budget_gb: at least 1e-6. Bounds what is held from one pass to the next: whitened
      images, maps, and growth's patches. The images themselves, a batch under way, filters and
      programs come on top, so that a small budget is exceeded several times over.
    mesh: the devices, along one axis, explicit or auto; None for the default one. The layers'
      filters are the same to the bit on any number of them that `config.num_shards` allows
      (`nsn_jax.placement`). What follows the layers is fitted on one device of each process.
    state: where a training within the layer above `initial` is to go on, as `on_state` was told, or
      `load_state` read; it ends as if it had never stopped.
    on_state: told of the state after each step of a layer: what to keep against a loss, as
      `StateWriter` does.

  Returns:
    The trained network, on the default device; the same on every process.

  Raises:
    StateError: a ValueError; for a state of another training or layer, or of other coordinates
      than are found here, as on another kind of machine. No layer is trained before it is raised.
    ValueError: for images, config, initial or state that are not as above, a mesh whose devices do
      not hold whole shards, several processes without a mesh, or such as do not ask for the same:
      on all of them, before anything is trained.
    LostProcessError: an OSError; where another process has ended.
  """
  checks.instance("config", config, NetworkConfig)
  checks.function("report", report)
  checks.function("on_begin", on_begin)
  checks.function("on_layer", on_layer)
  checks.function("on_state", on_state)
  budget, place = _bytes(memory_budget_gb), placement.place(mesh, config.num_shards)

  def check() -> tuple[jax.Array, Any, np.ndarray | None]:
    own_key, own = checks.key("key", key), checks.images("images", images)
    of_own = None if labels is None else _check_labels(labels, len(own))
    if state is not None:
      check_state("state", state)
    return own_key, own, of_own

  def facts(found: tuple[jax.Array, Any, np.ndarray | None]) -> dict[str, str]:
    return alike.facts(
      mesh,
      found[0],
      found[1],
      config=config,
      memory_budget_gb=budget / 1e9,
      labels="none" if labels is None else "given",
      initial=initial,
      state=None if state is None else (state.layer, state.state),
      origin="none" if state is None else str((state.basis, state.origin)),
    )

  key, images, labels = processes.agreed(check, facts)
  num_images = rows.count_rows(place, len(images))
  top = network.map_sizes(images.shape[1:3], config.layers)[-1]
  if top != (1, 1):
    raise ValueError(
      f"config: expected layers that end at a 1 x 1 map, got {top[0]} x {top[1]} "
      f"for images of {images.shape[1]} x {images.shape[2]}"
    )
  check_windows(config.contrast_windows, images.shape[1:3])
  nsn = initial
  if nsn is None:
    epsilon = config.whitening_epsilon
    whitening = None
    if epsilon is not None:
      preparing = Log(0, report).preparing("whitening")
      whitening = fit_whitening(
        images, epsilon, mesh=mesh, num_shards=config.num_shards, report=preparing
      )
    nsn = NSN((), whitening, config)
  else:
    network.check_sound("initial", nsn)
    if nsn.config != config:
      raise ValueError("initial: expected a network of the given config, got one of another")
  if nsn.whitening is not None and nsn.whitening.mean.shape != images.shape[1:]:
    raise ValueError(
      f"initial: expected the whitening of images {list(images.shape[1:])}, as they are given, "
      f"got one of {list(nsn.whitening.mean.shape)}"
    )
  if nsn.filters and nsn.filters[0].mean.shape[-1] != images.shape[-1]:
    raise ValueError(
      f"initial: expected a network of {images.shape[-1]} channels, as the images have, "
      f"got one of {nsn.filters[0].mean.shape[-1]}"
    )
  if nsn.num_layers == len(config.layers) and nsn.prior is not None:
    return nsn
  nsn = jax.tree.map(checks.native, nsn)
  host = np.asarray(images)
  host = host if host.dtype == np.uint8 else host.astype(np.float32)
  every = rows.Rows(host, num_images, place)
  seen = origin.images_digest(every)
  if state is not None:
    _check_layer(state, nsn)
    origin.check(state.origin, origin.origin_of(key, config, every, seen, budget, nsn))
  if on_begin is not None:
    on_begin(nsn)
  encoding = Log(0, report).preparing("maps")
  maps = stream.of_images(host, nsn.whitening, budget, encoding, place, num_images)
  last = len(config.layers) - 1
  for index, filters in enumerate(nsn.filters[:last]):
    encoding = Log(index + 1, report).preparing("maps")
    maps = stream.above(maps, filters, config.layers[index], budget, encoding)
  log = Log(last, report)
  for index in range(nsn.num_layers, len(config.layers)):
    layer_config = config.layers[index]
    own = None
    if on_state is not None:
      own = origin.origin_of(key, config, every, seen, budget, nsn)
    log = Log(index, report, on_state, state, own)
    layer_key = jax.random.fold_in(key, index)
    filters, history = _train_layer(layer_key, maps, layer_config, log, budget, state)
    filters, state = placement.on_one_device(filters), None
    if layer_config.rank and index < last:
      factor_key = jax.random.fold_in(layer_key, _FACTORS)
      filters, _ = train_factors(factor_key, maps, filters, layer_config, log, budget)
    nsn = NSN((*nsn.filters, filters), nsn.whitening, config)
    if on_layer is not None:
      on_layer(nsn, history)
    if index < last:
      encoding = Log(index + 1, report).preparing("maps")
      maps = stream.above(maps, filters, layer_config, budget, encoding)
  factor_key = jax.random.fold_in(jax.random.fold_in(key, last), _FACTORS)
  filters, index_of = train_factors(
    factor_key, maps, nsn.filters[last], config.layers[last], log, budget
  )
  if labels is not None:
    labels = processes.joined(labels)
  prior = prior_of(index_of, filters.num_filters, labels)
  nsn = dataclasses.replace(nsn, filters=(*nsn.filters[:last], filters), prior=prior)
  completion_key = jax.random.fold_in(key, _COMPLETION)
  return network_of_first(complete(completion_key, nsn, every, log))


def _check_layer(state: TrainingState, nsn: NSN) -> None:
  """Raises StateError unless a state is of the layer above a network's."""
  left = nsn.num_layers < len(nsn.config.layers)
  if not left or state.layer != nsn.num_layers:
    wanted = f"one of layer {nsn.num_layers}, the first that initial lacks" if left else "none"
    raise origin.StateError(
      f"state: expected {wanted}, as {nsn.num_layers} of {len(nsn.config.layers)} layers are "
      f"trained, got one of layer {state.layer}"
    )


def _check_coordinates(
  state: TrainingState, basis: str, grown: tuple[int, ...], patch: tuple[int, ...]
) -> None:
  """Raises StateError unless a state's filters are of what its phase looks at.

  Args:
    state: of this training.
    basis: digest of the layer's basis, here.
    grown: shape of what the layer grows on.
    patch: shape of its patches.
  """
  given, phase = tuple(state.state.filters.mean.shape[1:]), state.state.phase
  if phase == "em":  # On patches, whatever it grew on.
    basis, grown = state.basis, patch
  if state.basis != basis or given != grown:
    raise origin.StateError(
      f"state: expected filters {list(grown)} in basis {basis or None}, as found here, got "
      f"{list(given)} in basis {state.basis or None}: another kind of machine finds another"
    )


def _check_labels(labels: np.ndarray | jax.Array, count: int) -> np.ndarray:
  """Labels on the host. Raises ValueError unless they are integers [N] from 0 on, and few."""
  given = np.asarray(labels)
  if given.dtype.kind not in "iu" or given.shape != (count,):
    raise ValueError(
      f"labels: expected integers [{count}], one an image, got {given.dtype} {list(given.shape)}"
    )
  if given.min() < 0 or given.max() >= _MOST_CLASSES:
    raise ValueError(
      f"labels: expected classes from 0 to at most {_MOST_CLASSES - 1}, got {given.min()} to "
      f"{given.max()}"
    )
  return given.astype(np.int64)
