"""Hidden pixels from the visible ones, by the covariance that the whitening was fitted on.

Of normal images the mean of hidden pixels x_h, given the visible x_v, is

    mean_h + S_hv (S_vv + ridge I)^-1 (x_v - mean_v)

with S the covariance of a channel's pixels, which the whitening keeps. The ridge stands for what
the training images, fewer than pixels, leave open of it.
"""

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax.whitening import Whitening

__all__ = ["conditional_mean"]

#: Ridge, as a share of the whitening's epsilon, which is chosen for the same reason.
_RIDGE = 5e-3


def conditional_mean(
  images: npt.NDArray | jax.Array,
  hidden: npt.NDArray[np.bool_],
  whitening: Whitening,
  epsilon: float,
) -> npt.NDArray[np.float32]:
  """Images whose hidden pixels are the mean given the visible ones, clipped to [0, 1].

  On the host and in float64, as the covariance is nearly singular; one solve a mask and channel.

  Args:
    images: float [N, H, W, C] in [0, 1]; what is hidden is not looked at.
    hidden: bool [H, W] for all, or [N, H, W].
    whitening: of images of that size.
    epsilon: that it was fitted with.

  Returns:
    float32 [N, H, W, C]; the visible pixels as given.
  """
  n, h, w, c = images.shape
  rows = np.asarray(images, np.float64).reshape(n, h * w, c)
  mean = np.asarray(whitening.mean, np.float64).reshape(h * w, c)
  masks, group = np.unique(hidden.reshape(-1, h * w), axis=0, return_inverse=True)
  group = np.broadcast_to(group.reshape(-1), (n,))
  found = rows.copy()
  for channel in range(c):
    root = np.asarray(whitening.inverse[channel], np.float64)
    covariance = root @ root - epsilon * np.eye(h * w)
    for number, mask in enumerate(masks):
      own = np.flatnonzero(group == number)
      among = covariance[np.ix_(~mask, ~mask)] + _RIDGE * epsilon * np.eye(int((~mask).sum()))
      visible = rows[np.ix_(own, np.flatnonzero(~mask))][..., channel] - mean[~mask, channel]
      weight = np.linalg.solve(among, visible.T)
      given = mean[mask, channel] + (covariance[np.ix_(mask, ~mask)] @ weight).T
      found[own[:, None], np.flatnonzero(mask), channel] = given
  return np.clip(found, 0.0, 1.0).astype(np.float32).reshape(n, h, w, c)
