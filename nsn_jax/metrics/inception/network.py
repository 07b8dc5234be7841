"""Inception v3 of 2015-12-05, the network of the inception score's paper and of everybody's FID.

Written from Szegedy et al. 2015 (arXiv:1512.00567) as TensorFlow published it on 2015-12-05
(1,008 logits), in the names of its usual port to PyTorch (`pt_inception-2015-12-05-6726825d.pth`).
That network differs from the textbook's: averages leave the border's padding out of their count,
and the last block pools by maxima.
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import numerics
from nsn_jax.metrics import inputs, outputs

__all__ = ["BLOCKS", "SIZE", "Inception", "Weights", "activations", "fold", "prepare"]

#: Side of the images that the network sees; others are resized.
SIZE = 299
NUM_FEATURES, NUM_LOGITS = 2048, 1008
#: Added to the variance of each normalisation, by the published network.
_NORM_EPSILON = 1e-3

_BRANCHES_A = (
  ("branch1x1", 64, (1, 1)),
  ("branch5x5_1", 48, (1, 1)),
  ("branch5x5_2", 64, (5, 5)),
  ("branch3x3dbl_1", 64, (1, 1)),
  ("branch3x3dbl_2", 96, (3, 3)),
  ("branch3x3dbl_3", 96, (3, 3)),
)
_BRANCHES_E = (
  ("branch1x1", 320, (1, 1)),
  ("branch3x3_1", 384, (1, 1)),
  ("branch3x3_2a", 384, (1, 3)),
  ("branch3x3_2b", 384, (3, 1)),
  ("branch3x3dbl_1", 448, (1, 1)),
  ("branch3x3dbl_2", 384, (3, 3)),
  ("branch3x3dbl_3a", 384, (1, 3)),
  ("branch3x3dbl_3b", 384, (3, 1)),
  ("branch_pool", 192, (1, 1)),
)


def _branches_c(width: int) -> tuple[tuple[str, int, tuple[int, int]], ...]:
  return (
    ("branch1x1", 192, (1, 1)),
    ("branch7x7_1", width, (1, 1)),
    ("branch7x7_2", width, (1, 7)),
    ("branch7x7_3", 192, (7, 1)),
    ("branch7x7dbl_1", width, (1, 1)),
    ("branch7x7dbl_2", width, (7, 1)),
    ("branch7x7dbl_3", width, (1, 7)),
    ("branch7x7dbl_4", width, (7, 1)),
    ("branch7x7dbl_5", 192, (1, 7)),
    ("branch_pool", 192, (1, 1)),
  )


#: Convolutions of each block: name, output channels, kernel. Their input channels follow.
BLOCKS: dict[str, tuple[tuple[str, int, tuple[int, int]], ...]] = {
  "": (
    ("Conv2d_1a_3x3", 32, (3, 3)),
    ("Conv2d_2a_3x3", 32, (3, 3)),
    ("Conv2d_2b_3x3", 64, (3, 3)),
    ("Conv2d_3b_1x1", 80, (1, 1)),
    ("Conv2d_4a_3x3", 192, (3, 3)),
  ),
  "Mixed_5b": (*_BRANCHES_A, ("branch_pool", 32, (1, 1))),
  "Mixed_5c": (*_BRANCHES_A, ("branch_pool", 64, (1, 1))),
  "Mixed_5d": (*_BRANCHES_A, ("branch_pool", 64, (1, 1))),
  "Mixed_6a": (
    ("branch3x3", 384, (3, 3)),
    ("branch3x3dbl_1", 64, (1, 1)),
    ("branch3x3dbl_2", 96, (3, 3)),
    ("branch3x3dbl_3", 96, (3, 3)),
  ),
  "Mixed_6b": _branches_c(128),
  "Mixed_6c": _branches_c(160),
  "Mixed_6d": _branches_c(160),
  "Mixed_6e": _branches_c(192),
  "Mixed_7a": (
    ("branch3x3_1", 192, (1, 1)),
    ("branch3x3_2", 320, (3, 3)),
    ("branch7x7x3_1", 192, (1, 1)),
    ("branch7x7x3_2", 192, (1, 7)),
    ("branch7x7x3_3", 192, (7, 1)),
    ("branch7x7x3_4", 192, (3, 3)),
  ),
  "Mixed_7b": _BRANCHES_E,
  "Mixed_7c": _BRANCHES_E,
}

#: Kernel [kh, kw, in, out] with its normalisation folded in, and bias [out], of each convolution.
Weights = Mapping[str, tuple[jax.Array, jax.Array]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Inception:
  """The network's weights, a pytree; `load_inception` reads them.

  Attributes:
    convolutions: kernel and bias of each by name.
    classes: [2048, 1008], of the logits. The network's bias is left out, as by the published code
      of the inception score.
  """

  convolutions: Weights
  classes: jax.Array

  def outputs(
    self, images: inputs.Array, *, batch_size: int = 50, mesh: jax.sharding.Mesh | None = None
  ) -> outputs.Outputs:
    """Features (the averages before the logits, D = 2048) and 1,008 logits of images.

    Args:
      images: uint8 [N, H, W, C], 0-255, C of 1 (taken as grey) or 3, of any size; N may be 0. They
        are resized to 299x299 as TensorFlow 1 did.
      batch_size: images on a device at a time, >= 1.
      mesh: devices of this process that share the images; None for the default one.

    Returns:
      Outputs on the host.

    Raises:
      ValueError: if an argument is not as said above.
    """
    inputs.images("images", images)
    if images.shape[-1] not in (1, 3):
      raise ValueError(f"images: expected 1 or 3 channels, got shape {tuple(images.shape)}")
    return outputs.stream(_forward, self, images, batch_size, NUM_FEATURES, NUM_LOGITS, mesh)


def fold(
  kernel: npt.NDArray[np.floating],
  scale: npt.NDArray[np.floating],
  shift: npt.NDArray[np.floating],
  mean: npt.NDArray[np.floating],
  variance: npt.NDArray[np.floating],
) -> tuple[jax.Array, jax.Array]:
  """One convolution and its normalisation as a kernel and a bias, folded in float64.

  Args:
    kernel: in PyTorch's order, [out, in, kh, kw].
    scale: of the normalisation, [out]; so are `shift`, `mean` and `variance`.
    shift: added after it.
    mean: subtracted before it.
    variance: divided by.

  Returns:
    float32 kernel [kh, kw, in, out] and bias [out].
  """
  factor = scale / np.sqrt(variance.astype(np.float64) + _NORM_EPSILON)
  folded = (kernel * factor[:, None, None, None]).transpose(2, 3, 1, 0)
  return jnp.asarray(folded, jnp.float32), jnp.asarray(shift - mean * factor, jnp.float32)


def _resize_matrix(size: int) -> npt.NDArray[np.float32]:
  """Bilinear resize of `size` values to 299 as a matrix [299, size], as TensorFlow 1 did it.

  Value i is taken at i * size / 299: corners are not aligned, nor are the pixels' centres.
  """
  matrix = np.zeros((SIZE, size), np.float32)
  # TensorFlow computes the place in float32.
  place = np.arange(SIZE, dtype=np.float32) * np.float32(size / SIZE)
  low = np.minimum(place.astype(int), size - 1)
  share = place - low
  np.add.at(matrix, (np.arange(SIZE), low), 1 - share)
  np.add.at(matrix, (np.arange(SIZE), np.minimum(low + 1, size - 1)), share)
  return matrix


def prepare(images: jax.Array) -> jax.Array:
  """uint8 [N, H, W, 1 or 3] to what the network sees: float32 [N, 299, 299, 3] in [-1, 1)."""
  rows, columns = (_resize_matrix(size) for size in images.shape[1:3])
  resized = jnp.einsum(
    "ih,nhwc,jw->nijc", rows, images.astype(jnp.float32), columns, precision=numerics.PRECISION
  )
  return (jnp.broadcast_to(resized, (*resized.shape[:3], 3)) - 128.0) / 128.0


def _pool(x: jax.Array, stride: int, padding: str) -> jax.Array:
  """Maxima of 3x3 windows."""
  window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
  return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, padding)


def _average(x: jax.Array) -> jax.Array:
  """Means of 3x3 windows, stride 1; at the border of the values that are there."""
  window, strides = (1, 3, 3, 1), (1, 1, 1, 1)
  add = functools.partial(
    jax.lax.reduce_window,
    init_value=0.0,
    computation=jax.lax.add,
    window_dimensions=window,
    window_strides=strides,
    padding="SAME",
  )
  return add(x) / add(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def activations(network: Inception, x: jax.Array) -> dict[str, jax.Array]:
  """Every block's output, by name, for prepared images [N, 299, 299, 3].

  Also `features` [N, 2048] and `logits` [N, 1008].
  """

  def conv(x: jax.Array, name: str, stride: int = 1, padding: str = "SAME") -> jax.Array:
    kernel, bias = network.convolutions[name]
    strides = (stride, stride)
    x = jax.lax.conv_general_dilated(
      x,
      kernel,
      strides,
      padding,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      precision=numerics.PRECISION,
    )
    return jax.nn.relu(x + bias)

  def chain(x: jax.Array, *names: str) -> jax.Array:
    for name in names:
      x = conv(x, name)
    return x

  def block_a(x: jax.Array, name: str) -> jax.Array:
    parts = [
      chain(x, f"{name}.branch1x1"),
      chain(x, *(f"{name}.branch5x5_{i}" for i in (1, 2))),
      chain(x, *(f"{name}.branch3x3dbl_{i}" for i in (1, 2, 3))),
      chain(_average(x), f"{name}.branch_pool"),
    ]
    return jnp.concatenate(parts, axis=-1)

  def block_c(x: jax.Array, name: str) -> jax.Array:
    parts = [
      chain(x, f"{name}.branch1x1"),
      chain(x, *(f"{name}.branch7x7_{i}" for i in (1, 2, 3))),
      chain(x, *(f"{name}.branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5))),
      chain(_average(x), f"{name}.branch_pool"),
    ]
    return jnp.concatenate(parts, axis=-1)

  def block_e(x: jax.Array, name: str, pooled: jax.Array) -> jax.Array:
    one = chain(x, f"{name}.branch3x3_1")
    two = chain(x, f"{name}.branch3x3dbl_1", f"{name}.branch3x3dbl_2")
    parts = [
      chain(x, f"{name}.branch1x1"),
      chain(one, f"{name}.branch3x3_2a"),
      chain(one, f"{name}.branch3x3_2b"),
      chain(two, f"{name}.branch3x3dbl_3a"),
      chain(two, f"{name}.branch3x3dbl_3b"),
      chain(pooled, f"{name}.branch_pool"),
    ]
    return jnp.concatenate(parts, axis=-1)

  found = {}
  x = conv(x, "Conv2d_1a_3x3", 2, "VALID")  # [N, 149, 149, 32]
  x = conv(x, "Conv2d_2a_3x3", 1, "VALID")  # [N, 147, 147, 32]
  x = _pool(conv(x, "Conv2d_2b_3x3"), 2, "VALID")  # [N, 73, 73, 64]
  found["pool1"] = x
  x = conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3", 1, "VALID")  # [N, 71, 71, 192]
  x = found["pool2"] = _pool(x, 2, "VALID")  # [N, 35, 35, 192]
  for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
    x = found[name] = block_a(x, name)  # [N, 35, 35, 256 or 288]
  double = chain(x, "Mixed_6a.branch3x3dbl_1", "Mixed_6a.branch3x3dbl_2")
  parts = [
    conv(x, "Mixed_6a.branch3x3", 2, "VALID"),
    conv(double, "Mixed_6a.branch3x3dbl_3", 2, "VALID"),
    _pool(x, 2, "VALID"),
  ]
  x = found["Mixed_6a"] = jnp.concatenate(parts, axis=-1)  # [N, 17, 17, 768]
  for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
    x = found[name] = block_c(x, name)
  parts = [
    conv(chain(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", 2, "VALID"),
    conv(
      chain(x, *(f"Mixed_7a.branch7x7x3_{i}" for i in (1, 2, 3))),
      "Mixed_7a.branch7x7x3_4",
      2,
      "VALID",
    ),
    _pool(x, 2, "VALID"),
  ]
  x = found["Mixed_7a"] = jnp.concatenate(parts, axis=-1)  # [N, 8, 8, 1280]
  x = found["Mixed_7b"] = block_e(x, "Mixed_7b", _average(x))  # [N, 8, 8, 2048]
  x = found["Mixed_7c"] = block_e(x, "Mixed_7c", _pool(x, 1, "SAME"))
  found["features"] = x.mean(axis=(1, 2))
  found["logits"] = jnp.dot(found["features"], network.classes, precision=numerics.PRECISION)
  return found


def _forward(network: Inception, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Features and logits of one batch, uint8 [batch_size, H, W, C]."""
  found = activations(network, prepare(images))
  return found["features"], found["logits"]
