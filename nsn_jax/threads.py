"""What is computed must not depend on how many CPU cores there are.

XLA's products and sums along rows have the same bits on any number of threads. Products that sum
over the rows of both factors do not, nor do those whose result is transposed by the same program,
sums of columns, and a quotient that something is added to: they are written otherwise where
training needs them (`numerics`). LAPACK's, within XLA and of numpy, are those of one thread.
"""

import contextlib
from collections.abc import Iterator

import threadpoolctl

__all__ = ["one_blas_thread"]


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
  """Has this process's BLAS libraries use one thread each; a decorator, too."""
  # jaxlib takes LAPACK from scipy, which it needs anyway: limits are of what is loaded.
  import scipy.linalg  # noqa: F401

  with threadpoolctl.threadpool_limits(1, user_api="blas"):
    yield
