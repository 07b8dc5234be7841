"""Inception v3's weights: published shapes, wrong arrays, and the download, from a server here."""

import dataclasses
import hashlib
import http.server
import socket
import threading

import numpy as np
import pytest

from nsn_jax import metrics
from nsn_jax.metrics.inception import weights as weights_lib
from tests.metrics.inception import torch_files


def test_convolutions_are_the_published_ones():
  shapes = dict(weights_lib.convolutions())
  assert len(shapes) == 94
  # As published: 23,834,568 parameters with 1,000 classes, of which 2,049,000 are the classes'.
  convolved = sum(int(np.prod(shape)) + 2 * shape[0] for shape in shapes.values())
  assert convolved == 21_785_568
  assert shapes["Mixed_7a.branch7x7x3_4"] == (192, 192, 3, 3)
  assert shapes["Mixed_7c.branch3x3dbl_1"] == (448, 2048, 1, 1)
  assert shapes["Mixed_6b.branch7x7_2"] == (128, 128, 1, 7)


def test_wrong_arrays_are_refused(weights):
  name = "Mixed_6c.branch7x7_2.conv.weight"
  less = {key: value for key, value in weights.items() if key != name}
  with pytest.raises(ValueError, match=rf"expected {name} of shape \(160, 160, 1, 7\).*got none"):
    weights_lib.from_arrays(less, "here")
  turned = weights | {name: weights[name].swapaxes(2, 3)}
  with pytest.raises(ValueError, match=r"got \(160, 160, 7, 1\)"):
    weights_lib.from_arrays(turned, "here")
  bad = weights | {"fc.weight": np.full((1008, 2048), np.nan, np.float32)}
  with pytest.raises(ValueError, match=r"expected finite values, got others in fc\.weight"):
    weights_lib.from_arrays(bad, "here")


@dataclasses.dataclass
class _Web:
  """What the server gives, and the paths that it was asked for."""

  content: bytes = b""
  asked: list[str] = dataclasses.field(default_factory=list)


@pytest.fixture
def cache(monkeypatch, tmp_path):
  """The cache folder, of this test alone."""
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path / "cache"))
  # Asked for directly, whatever stands between this machine and the web.
  for name in ("no_proxy", "NO_PROXY"):
    monkeypatch.setenv(name, "127.0.0.1")
  return tmp_path / "cache"


@pytest.fixture
def web(monkeypatch):
  """A server on this machine in the place of the web."""
  found = _Web()

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      found.asked.append(self.path)
      self.send_response(200)
      self.send_header("Content-Length", str(len(found.content)))
      self.end_headers()
      self.wfile.write(found.content)

    def log_message(self, *_):
      pass

  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # Asks every 10 ms to end.
    thread.start()
    monkeypatch.setattr(
      weights_lib, "URL", f"http://127.0.0.1:{server.server_port}/{weights_lib.FILE}"
    )
    yield found
    server.shutdown()
    thread.join()


@pytest.fixture
def good(monkeypatch, tmp_path, web) -> bytes:
  """What the server gives and the checksum is of: a file, if one without Inception's arrays."""
  torch_files.write(tmp_path / "small.pth", {"x": np.zeros(3, np.float32)})
  web.content = (tmp_path / "small.pth").read_bytes()
  monkeypatch.setattr(weights_lib, "_CHECKSUM", hashlib.sha256(web.content).hexdigest())
  return web.content


def _load_the_good_one() -> None:
  """Reads what `good` stands for: the file gets as far as its arrays."""
  with pytest.raises(ValueError, match=r"expected Conv2d_1a_3x3.*got none"):
    metrics.load_inception()


def test_the_checksum_is_the_one_in_the_files_name():
  assert len(weights_lib._CHECKSUM) == 64
  assert f"pt_inception-2015-12-05-{weights_lib._CHECKSUM[:8]}.pth" == weights_lib.FILE
  assert weights_lib.URL.endswith(f"/{weights_lib.FILE}")


def test_no_network_says_what_to_do(cache, monkeypatch):
  with socket.socket() as taken:  # A port of ours that does not listen.
    taken.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{taken.getsockname()[1]}/{weights_lib.FILE}"
    monkeypatch.setattr(weights_lib, "URL", url)
    with pytest.raises(OSError, match=rf"cannot be downloaded \(.*refused.*\): fetch {url} elsewh"):
      metrics.load_inception()
  assert not list(cache.glob("*"))


def test_a_download_of_another_checksum_is_thrown_away(cache, web):
  web.content = b"something else"
  with pytest.raises(OSError, match=r"expected a file of the SHA-256 6726825d.*, got another"):
    metrics.load_inception()
  assert len(web.asked) == 1 and not list(cache.glob("*"))


def test_a_download_is_kept(cache, web, good):
  for _ in range(2):
    _load_the_good_one()
  assert web.asked == [f"/{weights_lib.FILE}"]
  assert [path.name for path in cache.iterdir()] == [weights_lib.FILE]
  assert (cache / weights_lib.FILE).read_bytes() == good


def test_a_damaged_file_in_the_cache_is_fetched_anew(cache, web, good):
  cache.mkdir()
  (cache / weights_lib.FILE).write_bytes(good[:-1])
  _load_the_good_one()
  assert len(web.asked) == 1
  assert [path.name for path in cache.iterdir()] == [weights_lib.FILE]
  assert (cache / weights_lib.FILE).read_bytes() == good


def test_the_cache_may_be_below_the_home_folder(cache, web, good, monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  monkeypatch.setenv("NSN_JAX_CACHE", "~/weights")
  monkeypatch.chdir(tmp_path)  # Where a `~` that is taken by its word would show.
  _load_the_good_one()
  assert (tmp_path / "home" / "weights" / weights_lib.FILE).read_bytes() == good
  assert not (tmp_path / "~").exists()


def test_a_path_without_a_file(tmp_path):
  with pytest.raises(FileNotFoundError, match="inception_weights: expected a file, got"):
    metrics.load_inception(tmp_path / "none.pth")
