"""Images of known factors: shapes that are turned, made wide or narrow, and thick or thin.

No fonts and no models of things are asked for: a shape is an image, its prototype, bright on dark.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks, pixel_range

__all__ = ["Factors", "checked", "render"]

#: Largest thickness, either way: further out the points of a circle leave gaps.
_THICKEST = 2.0
#: Steps that a spline is laid out in from one pixel to the next; within one it is linear.
_FINER = 4
#: Circles around a place are so many pixels apart, and have so many points.
_APART, _POINTS = 0.5, 16
#: Images that are rendered at a time.
_AT_ONCE = 32


class Factors(NamedTuple):
  """What N images are made of.

  Attributes:
    identities: positions of the prototypes, int32 [N].
    angles: counter-clockwise, in degrees, float32 [N].
    widths: by which the shape is stretched along its rows, > 0, float32 [N]; 1 leaves it.
    thicknesses: pixels that strokes gain on either side, in [-2, 2], float32 [N]; 0 leaves them,
      and below 0 they lose as many.
  """

  identities: npt.NDArray[np.int32]
  angles: npt.NDArray[np.float32]
  widths: npt.NDArray[np.float32]
  thicknesses: npt.NDArray[np.float32]

  def rows(self, which: npt.NDArray) -> "Factors":
    """Those of some images, by their positions or a mask."""
    return Factors(*(np.asarray(values)[which] for values in self))


def checked(name: str, factors: Factors, num_identities: int) -> Factors:
  """Factors on the host, in their dtypes.

  Args:
    name: the argument's.
    factors: arrays or lists of numbers.
    num_identities: prototypes that there are.

  Raises:
    ValueError: unless they are as `Factors` says.
  """
  checks.instance(name, factors, Factors)
  identities = np.asarray(factors.identities)
  if identities.ndim != 1 or identities.dtype.kind not in "iu":
    raise ValueError(
      f"{name}.identities: expected integers [N], got {identities.dtype} {identities.shape}"
    )
  if identities.size and not 0 <= identities.min() <= identities.max() < num_identities:
    raise ValueError(
      f"{name}.identities: expected positions from 0 to {num_identities - 1}, "
      f"got {identities.min()} to {identities.max()}"
    )
  found = []
  for field in ("angles", "widths", "thicknesses"):
    values = np.asarray(getattr(factors, field))
    if values.shape != identities.shape or values.dtype.kind not in "iuf":
      raise ValueError(
        f"{name}.{field}: expected numbers [{len(identities)}], one an image, "
        f"got {values.dtype} {values.shape}"
      )
    if not np.isfinite(values).all():
      raise ValueError(f"{name}.{field}: expected finite numbers, got NaN or infinity")
    found.append(values.astype(np.float32))
  angles, widths, thicknesses = found
  if widths.size and widths.min() <= 0:
    raise ValueError(f"{name}.widths: expected numbers above 0, got {widths.min()}")
  if thicknesses.size and np.abs(thicknesses).max() > _THICKEST:
    raise ValueError(
      f"{name}.thicknesses: expected pixels from {-_THICKEST:g} to {_THICKEST:g}, "
      f"got {thicknesses.min()} to {thicknesses.max()}"
    )
  return Factors(identities.astype(np.int32), angles, widths, thicknesses)


def render(prototypes: npt.NDArray | jax.Array, factors: Factors) -> npt.NDArray[np.uint8]:
  """Images of factors. Pure.

  With P a prototype, W its stretching and R its turn, both about the middle,

    I(x) = max of P(W^-1 (R^-1 x + o)) over |o| <= t,

  or the minimum over |o| <= -t where the thickness t is negative. So a shape is stretched, then its
  outlines are moved by t, at each grey, then it is turned, and pixels are made once. P between
  pixels is a cubic spline; beyond them it is black. Offsets o are points of circles.

  Args:
    prototypes: [P, H, W, C], uint8, or float in [0, 1]; each channel is on its own.
    factors: of N images.

  Returns:
    uint8 [N, H, W, C].

  Raises:
    ValueError: for arguments that are not as above.
  """
  given = pixel_range.to_unit(jnp.asarray(checks.images("prototypes", prototypes)))
  factors = checked("factors", factors, len(given))
  radians = np.deg2rad(factors.angles.astype(np.float64))
  turns = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
  # As many circles as the thickest image needs: they are most of the work, and add nothing to the
  # others, whose last ones fall upon each other.
  reach = float(np.abs(factors.thicknesses).max(initial=0.0))
  found = _render(
    _spline(np.asarray(given)),
    factors.identities,
    turns,
    factors.widths,
    factors.thicknesses,
    num_circles=int(np.ceil(reach / _APART)),
  )
  return np.asarray(found)


def _spline(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
  """Cubic splines through images [P, H, W, C], laid out finer: [P, h, w, C] in [0, 1]."""
  from scipy import ndimage  # Here, because it takes a quarter of a second to import.

  scales = [((side - 1) * _FINER + 1) / side for side in images.shape[1:3]]
  fine = ndimage.zoom(images.astype(np.float64), (1, *scales, 1), order=3, mode="mirror")
  return np.clip(fine, 0.0, 1.0).astype(np.float32)


@functools.partial(jax.jit, static_argnames="num_circles")
def _render(
  splines: jax.Array,
  identities: jax.Array,
  turns: jax.Array,
  widths: jax.Array,
  thicknesses: jax.Array,
  *,
  num_circles: int,
) -> jax.Array:
  """8-bit images of splines [P, h, w, C]; turns are cosines and sines, [N, 2]."""
  height, width = ((side - 1) // _FINER + 1 for side in splines.shape[1:3])
  middle, centre = (height - 1) / 2, (width - 1) / 2
  down, right = jnp.meshgrid(jnp.arange(height) - middle, jnp.arange(width) - centre, indexing="ij")
  angles = jnp.arange(_POINTS) * (2 * np.pi / _POINTS)
  directions = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
  radii = jnp.arange(1, num_circles + 1) * _APART

  def one(factors: tuple[jax.Array, ...]) -> jax.Array:
    identity, (cosine, sine), stretch, thickness = factors
    spline = jnp.take(splines, identity, axis=0)
    # Turned back: in the image's axes, of which the first goes down.
    y, x = cosine * down + sine * right, cosine * right - sine * down

    def at(offset: jax.Array) -> jax.Array:
      rows, columns = y + offset[0], (x + offset[1]) / stretch
      places = [(rows + middle) * _FINER, (columns + centre) * _FINER]

      def channel(plane: jax.Array) -> jax.Array:
        return jax.scipy.ndimage.map_coordinates(plane, places, order=1)

      return jax.vmap(channel, in_axes=-1, out_axes=-1)(spline)

    circles = jnp.minimum(radii, jnp.abs(thickness))
    offsets = (circles[:, None, None] * directions).reshape(-1, 2)
    values = jax.vmap(at)(jnp.concatenate([jnp.zeros((1, 2)), offsets]))
    return jnp.where(thickness < 0, values.min(axis=0), values.max(axis=0))

  images = jax.lax.map(one, (identities, turns, widths, thicknesses), batch_size=_AT_ONCE)
  return jnp.round(images * 255).astype(jnp.uint8)
