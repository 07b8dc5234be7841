"""The scaling study: arithmetic by hand, and rows of a number of devices."""

import json

import pytest

from experiments.paper import layouts
from experiments.studies import scaling


def test_a_pass_is_counted_by_hand() -> None:
  case = scaling.Case("x", 1_000, 4, 10, 5, 100, below=7.0)
  chip = scaling.Chip(flops=1e6, memory=1e5, link=1e3, held=1e4)
  row = scaling.on_paper(case, chip, 2)
  assert row["flops"] == 2 * 4_000 * 5 * 10 + 7_000
  assert row["product"] == row["flops"] / 2 / 1e6
  assert row["memory"] == 3 * 4 * 4_000 * 10 / 2 / 1e5
  # Sums and counts of 5 filters: means' sums twice, and two numbers; there and back to one other.
  assert row["sum"] == pytest.approx(2 * 4 * 5 * 22 / 2 / 1e3)
  assert row["pass"] == max(row["product"], row["memory"], row["host"]) + row["sum"]
  assert row["held"] == 6 * 4 * 5 * 10 / 1e4


@pytest.mark.parametrize("kind", scaling.CHIPS)
@pytest.mark.parametrize("case", scaling.CASES, ids=lambda case: case.name)
def test_more_chips_share_the_work_and_sum_as_much(kind: str, case: scaling.Case) -> None:
  few, many = (scaling.on_paper(case, chip, n) for n, chip in scaling.CHIPS[kind].items())
  for part in ("product", "memory", "host"):
    assert many[part] == pytest.approx(few[part] / 32)
  assert many["sum"] > few["sum"] and many["efficiency"] < few["efficiency"] < 1
  assert len(layouts.scaling.paper_cells([{"chip": kind, **few}])[1]) == 13


_COUNTED = """
import json
import jax
jax.config.update("jax_num_cpu_devices", 2)
from experiments.studies import scaling
scaling._DEVICES = (1, 2)
print(json.dumps(scaling.counted(1)))
"""


def test_two_devices_do_as_much_as_one_each(run_python) -> None:
  one, two = json.loads(run_python(_COUNTED))
  assert one["devices"] == 1 and two["devices"] == 2
  work = [name for name in one if name.endswith(("flops", "bytes"))]
  assert len(work) == 4 and all(one[name] == 1.0 for name in work)
  # The sums over devices are all that is more.
  assert all(0.95 < two[name] < 1.25 for name in work), two
  assert layouts.scaling.counted_cells([one, two])[2][0] == "2"
