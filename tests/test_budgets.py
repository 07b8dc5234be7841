"""`nsn_jax.budgets`: an accelerator is given at least what a CPU is."""

import jax
import pytest

from nsn_jax import budgets


@pytest.mark.parametrize("backend", ["gpu", "tpu"])
def test_an_accelerator_is_given_no_less(monkeypatch, backend):
  monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
  cpu = budgets.of_backend()
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  accelerator = budgets.of_backend()
  assert accelerator != cpu
  for name, at_least in cpu._asdict().items():
    assert getattr(accelerator, name) >= at_least > 0


def test_budgets_are_whole_numbers():
  found = budgets.of_backend()  # Of the backend that these tests run on.
  assert all(type(value) is int for value in (*found, budgets.IMAGES_AT_ONCE))
