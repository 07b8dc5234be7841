"""What a set takes of the memory while it is decoded, and when it is loaded: not all of it."""

import numpy as np
import pytest

from tests.data.helpers import save
from tests.fuzz import limits

#: 135 MB of decoded images.
_COUNT, _SIDE = 300, 384

_SCRIPT = """
import pathlib, sys, threading
import numpy as np
from nsn_jax import data
from nsn_jax.data import decoding

def anonymous():
  lines = pathlib.Path("/proc/self/status").read_text().splitlines()
  return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024

decoding.decode(next(pathlib.Path(sys.argv[1]).iterdir()), "RGB", 16, "x")  # What Pillow loads.
before, peaks, is_done = anonymous(), [], threading.Event()

def watch():
  while not is_done.wait(0.002):
    peaks.append(anonymous())

watching = threading.Thread(target=watch)
watching.start()
images = data.load(f"folder:{sys.argv[1]}", image_size=int(sys.argv[2])).images
total = sum(int(images[start : start + 16].sum(dtype=np.int64)) for start in range(0, 300, 16))
is_done.set()
watching.join()
print(max(peaks) - before, total, images.nbytes)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  """Images of few bytes that become large ones."""
  folder = tmp_path_factory.mktemp("source")
  random = np.random.default_rng(0)
  # Every tenth is a test image.
  for number in range(_COUNT * 10 // 9):
    save(folder / f"{number:03d}.png", random.integers(0, 256, (16, 16, 3)))
  return folder


@pytest.mark.skipif(not limits.IS_KNOWN, reason="needs to know the memory taken")
def test_neither_decoding_nor_loading_holds_the_set(source, run_python, cache_dir):
  script = f"import sys; sys.argv = ['', {str(source)!r}, '{_SIDE}']\n{_SCRIPT}"
  decoding, loading = (run_python(script).split() for _ in range(2))
  assert decoding[1:] == loading[1:] and int(decoding[2]) == _COUNT * _SIDE**2 * 3
  # A piece of 16 MB, 2 MB for each of up to 16 threads, and what their memory keeps.
  assert int(decoding[0]) < 90 * 2**20
  assert int(loading[0]) < 10 * 2**20
  assert len(list(cache_dir.iterdir())) == 1
