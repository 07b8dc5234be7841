"""Filters on several devices: the statistics of one."""

import json

import jax
import numpy as np
import pytest

from nsn_jax.filter_shards import e_step_over_filters
from nsn_jax.filters import Filters

_SCRIPT = """
import json
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from jax.sharding import AxisType
from nsn_jax import em
from nsn_jax.filters import Filters
from nsn_jax.filter_shards import e_step_over_filters

rng = np.random.default_rng(0)
mean = rng.normal(size=(24, 3, 3, 2)).astype(np.float32)
variance = rng.uniform(5, 20, 24).astype(np.float32)
mean[13], variance[13] = mean[4], variance[4]  # on another device: the first of equal ones wins
mean[20:], variance[20:] = 0.0, np.inf  # a device with unborn filters alone
filters = Filters(jnp.asarray(mean), jnp.asarray(variance))
patches = rng.normal(size=(501, 3, 3, 2)).astype(np.float32)
patches[:40] = mean[rng.integers(0, 20, 40)]  # lost in a product: distances are taken exactly
told = []
for hold_below in (False, True):
  plain = em.e_step(patches, filters, -2.0, hold_below=hold_below)
  for shape in ((1, 2), (2, 4), (4, 1), (1, 6)):
    for kind in (AxisType.Auto, AxisType.Explicit):
      devices = jax.devices()[: shape[0] * shape[1]]
      mesh = jax.make_mesh(shape, ("data", "filters"), axis_types=(kind,) * 2, devices=devices)
      found = e_step_over_filters(patches, filters, -2.0, mesh=mesh, hold_below=hold_below)
      assert shape[1] == 1 or found.residual_sum.sharding.spec[0] == "filters"
      same = [bool(np.array_equal(getattr(found, x), getattr(plain, x)))
              for x in ("count", "num_patches", "num_below")]
      off = max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(found, plain))
      step = [em.m_step(x, filters) for x in (found, plain)]
      off = max(off, float(np.abs(np.asarray(step[0].mean) - np.asarray(step[1].mean)).max()))
      told.append([same, off, int(plain.num_below), int(plain.count[4]), int(plain.count[13])])
print(json.dumps(told))
"""


def test_statistics_are_those_of_one_device(run_python) -> None:
  told = json.loads(run_python(_SCRIPT))
  assert len(told) == 16
  for same, off, num_below, first, second in told:
    assert same == [True, True, True]
    # Sums of 501 numbers near 1 in another order.
    assert off < 2e-3
    assert 0 < num_below < 501 and first > 0 and second == 0


def _mesh(*names: str) -> jax.sharding.Mesh:
  return jax.make_mesh((1,) * len(names), names)


@pytest.mark.parametrize(
  ("names", "patches", "message"),
  [
    (("data",), np.zeros((4, 2, 2, 1)), "mesh: expected the axes data and filters, got"),
    (("a", "b"), np.zeros((4, 2, 2, 1)), "mesh: expected the axes data and filters, got"),
    (("data", "filters"), np.zeros((4, 2, 3, 1)), "patches: expected"),
    (("data", "filters"), np.full((4, 2, 2, 1), np.nan), "patches: expected"),
  ],
)
def test_what_does_not_fit_is_refused(names, patches, message) -> None:
  filters = Filters(np.zeros((3, 2, 2, 1), np.float32), np.ones(3, np.float32))
  with pytest.raises(ValueError, match=message):
    e_step_over_filters(patches.astype(np.float32), filters, mesh=_mesh(*names))
