"""The presets: which there are, the paper's windows, and their former name."""

import pytest

from nsn_jax import configs, presets


@pytest.mark.parametrize("name", ["mnits", "", "MNIST", None])
def test_an_unknown_preset(name):
  with pytest.raises(ValueError) as caught:
    presets.get(name)
  message = str(caught.value)
  assert message.startswith("preset: expected") and message.endswith(f"got {name!r}")
  assert all(known in message for known in presets.names())


@pytest.mark.parametrize(
  "name",
  sorted(
    {
      "digits",
      "mnist",
      "mnist-plain",
      "mnist-large",
      "fashion_mnist",
      "fashion_mnist-plain",
      "fashion_mnist-large",
      "lfw",
      "church",
      "church-plain",
      *presets.names(),
    }
  ),
)
def test_the_papers_presets(name):
  config = presets.get(name)
  assert name in presets.names()
  assert hash(config) == hash(presets.get(name))
  assert (config.whitening_epsilon is None) == name.endswith("plain")
  windows = [(layer.kernel, layer.stride) for layer in config.layers]
  if name.startswith(("lfw", "church")):
    assert windows == [(4, 2), (3, 2), (3, 2), (3, 2), (3, 1)]  # The paper's Table 4,
  else:
    assert windows == [(4, 2), (3, 2), (6, 1)]  # and its Table 3.


def test_the_former_name_is_the_same():
  assert configs.get is presets.get and configs.names is presets.names
