"""An E-step whose filters lie on several devices: for banks that are larger than one's memory."""

import functools

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from nsn_jax import checks, em, placement
from nsn_jax.filters import Filters, check_filters, check_patches
from nsn_jax.placement import AXIS, NUM_SHARDS, P

__all__ = ["FILTERS", "e_step_over_filters"]

#: Name of the axis over which filters are sharded.
FILTERS = "filters"


def e_step_over_filters(
  patches: np.ndarray | jax.Array,
  filters: Filters,
  threshold: float = -np.inf,
  *,
  mesh: Mesh,
  hold_below: bool = False,
  num_shards: int = NUM_SHARDS,
) -> em.Statistics:
  """`nsn_jax.e_step` with patches sharded over one axis of a mesh and filters over another.

  Each device compares its patches with its filters; two numbers a patch are exchanged along the
  filters' axis, so that a patch counts where its argmax filter is, and statistics are summed along
  the data's. `m_step` takes them as they lie.

  Args:
    patches: x, float [N, kh, kw, C], finite.
    filters: K filters of that patch shape; K a multiple of the filters' axis, unborn ones fill up.
    threshold: tau, as of `e_step`.
    mesh: of the axes "data" and "filters", devices of this process.
    hold_below: as of `e_step`.
    num_shards: logical shards that the patches are cut into, at least two a device of the data's
      axis.

  Returns:
    Statistics; those of filters sharded as these are.

  Raises:
    ValueError: for arguments that are not as above, or do not fit each other.
  """
  filters = check_filters("filters", filters)
  patches = check_patches("patches", patches, filters)
  checks.scalar("threshold", threshold)
  checks.instance("mesh", mesh, Mesh)
  if set(mesh.axis_names) != {AXIS, FILTERS}:
    raise ValueError(f"mesh: expected the axes {AXIS} and {FILTERS}, got {dict(mesh.shape)}")
  if filters.num_filters % mesh.shape[FILTERS]:
    raise ValueError(
      f"filters: expected a multiple of {mesh.shape[FILTERS]}, as many as lie along the axis "
      f"{FILTERS}, got {filters.num_filters}: unborn filters, of variance inf, fill up"
    )
  mesh = Mesh(mesh.devices, mesh.axis_names)  # of auto axes: what follows need not name them
  # One device for each part of the data's axis says how they are cut.
  along = np.moveaxis(mesh.devices, mesh.axis_names.index(AXIS), 0).reshape(mesh.shape[AXIS], -1)
  cut = placement.cut(
    np.asarray(patches, np.float32), placement.place(Mesh(along[:, 0], (AXIS,)), num_shards)
  )

  def lies(x: jax.Array, *axes: str) -> jax.Array:
    return jax.device_put(np.asarray(x), NamedSharding(mesh, P(*axes)))

  plain = Filters(lies(filters.mean, FILTERS), lies(filters.variance, FILTERS))
  return _e_step(
    lies(cut.values, AXIS),
    lies(cut.valid, AXIS),
    plain,
    np.float32(threshold),
    mesh=mesh,
    hold_below=bool(hold_below),
  )


@functools.partial(jax.jit, static_argnames=("mesh", "hold_below"))
def _e_step(
  values: jax.Array,
  valid: jax.Array,
  filters: Filters,
  threshold: jax.Array,
  *,
  mesh: Mesh,
  hold_below: bool,
) -> em.Statistics:
  def own(
    values: jax.Array, valid: jax.Array, filters: Filters, threshold: jax.Array
  ) -> em.Statistics:
    def one(values: jax.Array, valid: jax.Array) -> em.Statistics:
      return em.e_step_core(
        values,
        filters,
        threshold,
        valid,
        hold_below=hold_below,
        chunk_size=None,
        filter_axis=FILTERS,
      )

    found = placement.total(placement.each(one, values, valid))
    # A patch counts on the device of its filter: numbers of all patches are sums over them.
    numbers = (found.similarity_sum, found.num_patches, found.num_below)
    return em.Statistics(*found[:4], *jax.lax.psum(numbers, FILTERS))

  each, every = P(FILTERS), P()
  specs = em.Statistics(each, each, each, each, every, every, every)  # type: ignore[arg-type]
  return jax.shard_map(
    own, mesh=mesh, in_specs=(P(AXIS), P(AXIS), P(FILTERS), P()), out_specs=specs, check_vma=False
  )(values, valid, filters, threshold)
