"""Decoding: what images are in whatever way they are stored, and what they may take."""

import concurrent.futures
import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from nsn_jax import data
from nsn_jax.data import decoding
from tests.data.helpers import black_png, decoded, flat
from tests.fuzz import limits


def _encoded(image, kind="png", **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _decoded(image, mode, size=None, **options):
  return decoding.decode(_encoded(image, **options), mode, size, "x")


# transparency


def _transparent(mode, colour):
  """Left half transparent over a hidden colour, right half opaque, in one of Pillow's modes."""
  if mode in ("LA", "RGBA"):
    shown = Image.new(mode, (8, 8), (*colour, 255))
    shown.paste((*colour, 0), (0, 0, 4, 8))
    return shown, {}
  if mode == "PA":
    grey = Image.new("P", (8, 8), 1)
    grey.putpalette([9, 9, 9, *(colour * 3)[:3]])
    shown = grey.convert("PA")
    alpha = Image.new("L", (8, 8), 255)
    alpha.paste(0, (0, 0, 4, 8))
    shown.putalpha(alpha)
    return shown, {}
  if mode == "P":
    shown = Image.new("P", (8, 8), 1)
    shown.putpalette([*(colour * 3)[:3], *(colour * 3)[:3]])
    shown.paste(0, (0, 0, 4, 8))
    return shown, {"transparency": 0}
  hidden = {"L": 7, "RGB": (7, 8, 9), "1": 0, "I;16": 7}[mode]
  if mode == "I;16":
    values = np.full((8, 8), colour[0] * 256, np.uint16)
    values[:, :4] = hidden
    return Image.fromarray(values), {"transparency": hidden}
  shown = Image.new(mode, (8, 8), 255 if mode == "1" else colour[0] if mode == "L" else colour)
  shown.paste(hidden, (0, 0, 4, 8))
  return shown, {"transparency": hidden}


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB", "1", "I;16"])
@pytest.mark.parametrize("wanted", ["L", "RGB"])
def test_transparent_pixels_are_white(mode, wanted):
  colour = (60, 90, 30) if mode.startswith(("RGB", "P")) else (60,)
  image, options = _transparent(mode, colour)
  found = _decoded(image, wanted, **options)
  assert (found[:, :4] == 255).all()
  opaque = Image.new("RGB", (1, 1), colour if len(colour) == 3 else colour * 3)
  if mode == "1":
    opaque = Image.new("RGB", (1, 1), "white")
  expected = np.asarray(opaque.convert(wanted)).reshape(-1)
  np.testing.assert_array_equal(found[:, 4:], np.broadcast_to(expected, found[:, 4:].shape))


def test_transparent_palettes_of_other_formats_are_white():
  image, _ = _transparent("PA", (60, 90, 30))
  found = np.asarray(decoding._plain(image, "RGB"))  # No format gives this mode to Pillow's reader.
  assert (found[:, :4] == 255).all() and (found[:, 4:] == (60, 90, 30)).all()
  image, options = _transparent("P", (60, 90, 30))
  found = _decoded(image, "RGB", kind="gif", **options)
  assert (found[:, :4] == 255).all() and (found[:, 4:] == (60, 90, 30)).all()
  # Several transparent entries, each in part: bytes in a PNG.
  image.putpalette([60, 90, 30, 10, 20, 30])
  found = _decoded(image, "RGB", transparency=bytes([51, 255]))
  expected = np.rint(255 * 0.8 + np.array([60, 90, 30]) * 0.2)
  np.testing.assert_allclose(found[:, :4], np.broadcast_to(expected, (8, 4, 3)), atol=1)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_half_transparent_pixels_are_mixed_before_they_are_resized(mode):
  image = Image.new(mode, (32, 32), (0, 0) if mode == "LA" else (0, 0, 0, 0))
  image.paste((0, 128) if mode == "LA" else (0, 0, 0, 128), (0, 0, 32, 32))
  for size in (None, 8, 32):
    np.testing.assert_allclose(_decoded(image, "RGB", size), 127, atol=1)


def test_hidden_colours_do_not_bleed_into_what_is_seen():
  image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
  image.paste((200, 200, 200, 255), (0, 0, 64, 32))
  found = _decoded(image, "RGB", 8)
  np.testing.assert_allclose(found[..., 0].astype(int), found[..., 1], atol=1)  # No red.


# other kinds of storage


def test_sixteen_bits_are_scaled():
  ramp = (np.arange(256) * 256).astype(np.uint16)[None].repeat(4, 0)
  image = Image.fromarray(ramp)
  for kind in ("png", "tiff", "ppm"):
    found = _decoded(image, "L", kind=kind)
    np.testing.assert_allclose(found[0, :, 0], np.arange(256), atol=1 if kind == "ppm" else 0)


def test_floating_point_is_refused():
  image = Image.fromarray(np.zeros((4, 4), np.float32))
  with pytest.raises(decoding.BrokenImageError, match="floating-point values"):
    _decoded(image, "L", kind="tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_turned_images_are_upright(orientation, mode):
  turning = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # A viewer turns it back, by 270 degrees.
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
  }
  values = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype(np.uint8)
  image = Image.fromarray(values).convert(mode)
  upright = np.asarray(image.convert("RGB"))
  exif = Image.Exif()
  exif[0x0112] = orientation
  stored = image.transpose(turning[orientation]) if orientation > 1 else image
  np.testing.assert_array_equal(_decoded(stored, "RGB", exif=exif), upright)


# images that nobody means well with


def _stack_of(*contents):
  return decoded([contents], lambda item: decoding.decode(item, "RGB", 16, "x"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
  ("width", "height"), [(8192, 6145), (10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)]
)
def test_too_many_pixels_are_refused_by_the_header(channels, width, height, monkeypatch):
  """Pillow takes the first, warns of the second and has an error of its own for the others."""
  monkeypatch.setattr(decoding, "_plain", lambda *_: pytest.fail("it was decoded"))
  content = black_png(width, height, channels, rows=0)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    with pytest.raises(data.DataError, match=r"^x: expected .*, more than 50,331,648|got: more "):
      _stack_of(content)


def test_what_pillow_warns_of_is_not_heard(tmp_path, recwarn):
  (tmp_path / "x.png").write_bytes(black_png(10_000, 10_000, rows=0))
  with pytest.raises(decoding.BrokenImageError):
    _stack_of((tmp_path / "x.png").read_bytes())
  with pytest.raises(decoding.BrokenImageError):
    decoding.fitted(tmp_path / "x.png", "L", 16, "x")
  assert not recwarn.list


def test_too_many_bytes_are_refused_unread(tmp_path):
  with (tmp_path / "x.webp").open("wb") as file:
    file.write(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
    file.truncate(2**40)  # Takes no place on the disk.
  with pytest.raises(decoding.BrokenImageError, match=r"x: expected .* more than 402,653,184"):
    decoding.decode(tmp_path / "x.webp", "RGB", 16, "x")


@pytest.mark.parametrize("limit", ["_SMALL_PIXELS", "_SMALL_BYTES"])
def test_large_images_are_decoded_one_at_a_time(monkeypatch, limit):
  threads = []
  plain = decoding._plain

  def watched(image, mode):
    threads.append(threading.current_thread())
    return plain(image, mode)

  monkeypatch.setattr(decoding, "_plain", watched)
  large, small = _encoded(Image.fromarray(flat(7, 64, 64))), _encoded(Image.fromarray(flat(9)))
  monkeypatch.setattr(decoding, limit, 64 if limit == "_SMALL_PIXELS" else len(small))
  images = _stack_of(*[small, large] * 8)
  assert images[:, 0, 0, 0].tolist() == [9, 7] * 8
  assert threads.count(threading.main_thread()) == 8


def test_large_progressive_jpegs_are_large_however_small_they_come_out(monkeypatch):
  image = Image.fromarray(flat(7, 256, 256))
  monkeypatch.setattr(decoding, "_SMALL_PIXELS", 128 * 128)
  pool = concurrent.futures.ThreadPoolExecutor(1, initializer=decoding.begin_thread)
  for progressive in (False, True):
    content = _encoded(image, "jpeg", progressive=progressive)
    done = pool.submit(decoding.decode, content, "RGB", 8, "x")
    assert (done.exception() is not None) == progressive
  pool.shutdown()


@pytest.mark.skipif(not limits.IS_KNOWN, reason="needs to know the memory taken")
def test_hostile_images_together_take_about_a_gigabyte(tmp_path, run_python):
  """Each of 50 megapixels with transparency, in all threads that this machine gives."""
  for number in range(4):
    (tmp_path / f"{number}.png").write_bytes(black_png(8192, 6144, 2 + 2 * (number % 2)))
  script = f"""
from nsn_jax import data
from tests.fuzz import limits
before = limits.peak()
found = data.load({f"folder:{tmp_path}"!r}, image_size=16, cache_dir={str(tmp_path / "cache")!r})
print(limits.peak() - before, *found.images[:, 0, 0, 0])
"""
  grown, *pixels = run_python(script).split()
  assert int(grown) < 10**9 and pixels == ["255"] * 4


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"\xff\xd8\xff\xe0",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",  # Pillow has Ghostscript draw this.
    black_png(4, 4)[:-30],
    black_png(0, 4),
    black_png(4, 0),
    black_png(4, 4, rows=0),
  ],
)
@pytest.mark.parametrize("size", [None, 1, 16])
def test_whatever_pillow_raises_is_one_line(content, size):
  try:
    found = decoding.decode(content, "RGB", size, "x")
  except decoding.BrokenImageError as error:
    assert str(error).startswith("x: expected an image that Pillow can decode, got: ")
    assert "\n" not in str(error)
  else:
    assert found.shape[2] == 3


def test_other_programs_are_never_asked_to_draw():
  content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
  assert Image.open(io.BytesIO(content)).format == "EPS"
  with pytest.raises(decoding.BrokenImageError, match="got: none of JPEG, PNG"):
    decoding.decode(content, "RGB", 16, "x")


@pytest.mark.parametrize("error", [MemoryError(), OSError("a\nb"), RecursionError("c")])
def test_errors_on_the_way_are_one_line(monkeypatch, error):
  def failing(*_):
    raise error

  monkeypatch.setattr(decoding, "_plain", failing)
  with pytest.raises(data.DataError, match=r"^x: expected ") as found:
    _decoded(Image.fromarray(flat(1)), "L", 4)
  # Too little memory is no fault of the image.
  assert isinstance(found.value, decoding.BrokenImageError) != isinstance(error, MemoryError)
  assert "\n" not in str(found.value)


def test_a_file_that_cannot_be_read_is_not_called_broken(tmp_path):
  with pytest.raises(data.DataError, match=r"^x: expected a file that can be read") as error:
    decoding.decode(tmp_path / "nowhere.png", "L", 4, "x")
  assert not isinstance(error.value, decoding.BrokenImageError)


# as a whole


@pytest.mark.parametrize(
  ("shape", "expected"),
  [((30, 90), (15, 45)), ((90, 30), (45, 15)), ((10, 20), (10, 20)), ((1, 3000), (1, 45))],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_fitted_images_keep_their_sides_ratio(tmp_path, shape, expected, mode):
  for kind in ("png", "jpeg"):
    Image.fromarray(flat(99, *shape)).save(tmp_path / f"x.{kind}")
    found = decoding.fitted(tmp_path / f"x.{kind}", mode, 45, "x")
    assert found.shape == (*expected, 1 if mode == "L" else 3) and found.dtype == np.uint8
    np.testing.assert_allclose(found, 99, atol=1)
