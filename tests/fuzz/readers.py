"""What reads files that others hand over, with sound files of each kind and what it may raise."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import numpy as np
import safetensors.numpy
from PIL import Image

import nsn_jax
from experiments.common import reference_files, runs, workdir
from experiments.paper import styling
from nsn_jax import data, metrics
from nsn_jax.data import partial
from nsn_jax.data.dataset import Piece
from nsn_jax.metrics import evaluation
from nsn_jax.metrics.inception import torch_file
from tests.fuzz import limits
from tests.metrics.inception import torch_files

__all__ = ["READERS", "Reader", "Seed"]


class Seed(NamedTuple):
  """A sound file."""

  name: str
  content: bytes


class Reader(NamedTuple):
  """What reads one kind of files.

  Attributes:
    seeds: sound ones.
    read: reads a file of this name and content; AssertionError for a wrong result.
    errors: which it may raise.
  """

  seeds: Sequence[Seed]
  read: Callable[[Seed], Any]
  errors: tuple[type[BaseException], ...]


def _saved(save: Callable[[Any], None]) -> bytes:
  buffer = io.BytesIO()
  save(buffer)
  return buffer.getvalue()


def _random() -> np.random.Generator:
  return np.random.default_rng(0)


def _npz(folder: pathlib.Path) -> Reader:
  images = _random().integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
  labels = np.arange(6)
  kinds: list[tuple[Any, dict[str, Any]]] = [
    (np.savez, {"images": images, "labels": labels}),
    (np.savez_compressed, {"images": images, "labels": labels.astype(">i2")}),
    (np.savez, {"images": (images / 255).astype(np.float32)}),
    (np.savez_compressed, {"images": np.asfortranarray(images[..., 0] / 255), "extra": labels}),
    (np.savez, {"images": (images / 255).astype(">f2"), "test_images": images}),
  ]
  seeds = [
    Seed("x.npz", _saved(lambda buffer, save=save, arrays=arrays: save(buffer, **arrays)))
    for save, arrays in kinds
  ]

  def read(seed: Seed) -> None:
    (folder / seed.name).write_bytes(seed.content)
    _check(data.load(f"npz:{folder / seed.name}"))

  return Reader(seeds, read, (data.DataError,))


def _check(found: data.Dataset) -> None:
  images, labels = found
  assert images.dtype == np.uint8 and images.ndim == 4 and images.size and images.dtype.isnative
  assert labels is None or (labels.dtype == np.int32 and labels.shape == images.shape[:1])


def _images(folder: pathlib.Path) -> Reader:
  pixels = _random().integers(0, 256, (20, 30, 4)).astype(np.uint8)
  pixels[5:] //= 16
  colour, grey = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels[..., 0])
  exif = Image.Exif()
  exif[0x0112] = 6
  exif[0x010F] = "maker"
  kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
    ("a.png", Image.fromarray(pixels), {}),
    ("b.png", Image.fromarray(pixels[..., 0].astype(np.uint16) * 200), {}),
    ("c.png", colour.convert("P"), {"transparency": bytes([0, 128] * 8), "exif": exif}),
    ("d.png", grey.convert("1"), {"transparency": 0}),
    ("a.jpg", colour, {"exif": exif, "quality": 80}),
    ("b.jpeg", grey, {"progressive": True}),
    ("c.jpg", colour.convert("CMYK"), {}),
    ("a.gif", colour.convert("P"), {"transparency": 3}),
    ("b.gif", grey, {"save_all": True, "append_images": [grey.rotate(90)]}),
    ("a.bmp", colour, {}),
    ("b.bmp", colour.convert("P"), {}),
    ("a.webp", Image.fromarray(pixels), {"lossless": True}),
    ("b.webp", colour, {"exif": exif}),
  ]
  endings = {".jpg": "jpeg"}
  seeds = []
  for name, image, options in kinds:
    suffix = pathlib.PurePath(name).suffix
    kind = endings.get(suffix, suffix[1:])
    seeds.append(Seed(name, _saved(lambda b, i=image, k=kind, o=options: i.save(b, k, **o))))

  def read(seed: Seed) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    path = folder / "pictures" / seed.name
    path.write_bytes(seed.content)
    failure: Exception | None = None
    try:
      found = data.load(f"folder:{path.parent}", image_size=16, cache_dir=folder / "cache")
      assert found.images.shape == (1, 16, 16, 3)
    except data.DataError as error:
      failure = error
    # The launcher's own, with other ways to shrink it.
    try:
      assert max(styling.read_image(str(path), 1, 16).shape) <= 16
    except (ValueError, OSError) as error:
      assert failure is not None, "read_image refuses what the folder takes"
      raise failure from error
    assert failure is None, "read_image takes what the folder refuses"

  return Reader(seeds, read, (data.DataError,))


def _pictures(folder: pathlib.Path) -> str:
  """Four small images of two classes; their name for `data.load`."""
  for number, image in enumerate(_random().integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)):
    path = folder / "pictures" / "ab"[number % 2] / f"{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
  return f"folder:{folder / 'pictures'}"


def _loaded(name: str, size: int, cache_dir: pathlib.Path) -> data.Dataset:
  """The data set in memory: its files are about to be cut off."""
  found = data.load(name, image_size=size, cache_dir=cache_dir)
  return found._replace(images=np.array(found.images))


def _cache(folder: pathlib.Path) -> Reader:
  name = _pictures(folder)
  expected = {size: _loaded(name, size, folder / str(size)) for size in (4, 8)}
  seeds = [
    Seed(path.relative_to(folder).as_posix(), path.read_bytes())
    for size in expected
    for path in sorted((folder / str(size)).glob("*/*"))
  ]

  def read(seed: Seed) -> None:
    size = int(pathlib.PurePath(seed.name).parts[0])
    (folder / seed.name).write_bytes(seed.content)
    _check_equal(_loaded(name, size, folder / str(size)), expected[size])

  return Reader(seeds, read, ())


def _check_equal(found: data.Dataset, expected: data.Dataset) -> None:
  np.testing.assert_array_equal(found.images, expected.images, strict=True)
  np.testing.assert_array_equal(found.labels, expected.labels, strict=True)


def _partial(folder: pathlib.Path) -> Reader:
  """Sets whose decoding was broken off."""
  name, cache_dir = _pictures(folder), folder / "cache"
  expected = _loaded(name, 8, cache_dir)
  assert expected.labels is not None
  (target,) = cache_dir.iterdir()
  key = json.loads((target / "about.json").read_text())["key"]
  with contextlib.suppress(KeyboardInterrupt), partial.begun(target, key) as begun:
    for start in (0, 1, 2):
      rows = slice(start, start + 1)
      begun.append(Piece(expected.images[rows], expected.labels[rows], 1, []))
    raise KeyboardInterrupt
  left = target.with_name(f"{target.name}.partial-0")
  seeds = [Seed(path.name, path.read_bytes()) for path in sorted(left.iterdir())]

  def read(seed: Seed) -> None:
    shutil.rmtree(cache_dir)
    left.mkdir(parents=True)
    for sound in seeds:
      (left / sound.name).write_bytes(sound.content)
    (left / seed.name).write_bytes(seed.content)
    _check_equal(_loaded(name, 8, cache_dir), expected)

  return Reader(seeds, read, ())


def _model(folder: pathlib.Path) -> Reader:
  path = folder / "x.safetensors"
  random = _random()

  def array(*shape: int) -> jax.Array:
    return jax.numpy.asarray(np.abs(random.standard_normal(shape)), jax.numpy.float32)

  layers = tuple(nsn_jax.LayerConfig(kernel=3, stride=s, threshold=-1.0) for s in (2, 1))
  filters = (
    nsn_jax.Filters(array(4, 3, 3, 2), array(4) + 0.1),
    nsn_jax.Filters(array(3, 3, 3, 4), array(3) + 0.1),
  )
  whitening = nsn_jax.Whitening(array(7, 7, 2), array(2, 49, 49), array(2, 49, 49))
  seeds = []
  for epsilon, kept in ((0.3, whitening), (None, None)):
    config = nsn_jax.NetworkConfig(
      layers=layers, whitening_epsilon=epsilon, sampler=nsn_jax.SamplerConfig(gamma=10.0)
    )
    nsn = nsn_jax.NSN(filters, kept, config)
    nsn_jax.save(path, nsn)
    seeds.append(Seed(path.name, path.read_bytes()))
    # As the version before wrote it, without a checksum that sees every change.
    metadata = {
      "format": "nsn_jax",
      "version": "1",
      "config": json.dumps(dataclasses.asdict(config)),
    }
    arrays = safetensors.numpy.load(path.read_bytes())
    seeds.append(Seed(path.name, safetensors.numpy.save(arrays, metadata)))

  def read(seed: Seed) -> None:
    path.write_bytes(seed.content)
    assert isinstance(nsn_jax.load(path), nsn_jax.NSN)

  return Reader(seeds, read, (ValueError, OSError))


def _state(folder: pathlib.Path) -> Reader:
  path = folder / "x.safetensors"
  random = _random()
  origin = nsn_jax.Origin("threefry2x32 00000000 00000000", '{"layers": []}', 9, "ab", 10**9, "cd")
  records = tuple(nsn_jax.Record("growth", step, 3, 0.5, -1.5, 40, 0.25) for step in range(3))
  seeds = []
  for phase, count in (("growth", 5), ("sample", 3), ("em", 3)):
    variance = np.full(count, np.inf, np.float32)
    variance[:3] = random.random(3) + 0.1
    mean = random.standard_normal((count, 3, 3, 2)).astype(np.float32)
    filters = nsn_jax.Filters(jax.numpy.asarray(mean), jax.numpy.asarray(variance))
    state = nsn_jax.LayerState(phase, 3, filters, (3, 0.5, -1.5))
    basis = "ef" * (phase == "sample")
    nsn_jax.save_state(path, nsn_jax.TrainingState(1, state, records, 480, basis, origin))
    seeds.append(Seed(path.name, path.read_bytes()))

  def read(seed: Seed) -> None:
    path.write_bytes(seed.content)
    assert isinstance(nsn_jax.load_state(path), nsn_jax.TrainingState)

  return Reader(seeds, read, (nsn_jax.StateError, OSError))


def _classifier(folder: pathlib.Path) -> Reader:
  path = folder / "x.safetensors"
  architecture = metrics.Architecture(channels=(2, 3), kernels=(3, 3), num_features=4)
  network = architecture.network(3)
  images = jax.numpy.zeros((1, 8, 8, 1), jax.numpy.uint8)
  params = network.init(jax.random.key(0), images, is_training=False)
  classifier = metrics.Classifier(params, 3, (8, 8, 1), architecture)
  metrics.save_classifier(path, classifier)
  seeds = [Seed(path.name, path.read_bytes())]
  # As they were written before, without a checksum that sees every change.
  static = {
    "num_classes": 3,
    "image_shape": (8, 8, 1),
    "architecture": dataclasses.asdict(architecture),
  }
  flat = flax.traverse_util.flatten_dict(jax.device_get(params), sep="/")
  arrays = {name: np.ascontiguousarray(value) for name, value in flat.items()}
  content = safetensors.numpy.save(arrays, {"nsn_jax.classifier": json.dumps(static)})
  seeds.append(Seed(path.name, content))

  def read(seed: Seed) -> None:
    path.write_bytes(seed.content)
    assert isinstance(metrics.load_classifier(path), metrics.Classifier)

  return Reader(seeds, read, (ValueError, OSError))


def _torch(folder: pathlib.Path) -> Reader:
  path = folder / "x.pth"
  torch_files.write(
    path,
    {
      "a": np.arange(6, dtype=np.float32).reshape(2, 3),
      "b.count": np.array(7, np.int64),
      "c": np.arange(4, dtype=np.float16),
    },
  )
  golden = pathlib.Path(torch_files.__file__).parent / "golden"
  seeds = [Seed(path.name, path.read_bytes())]
  seeds += [Seed(path.name, (golden / name).read_bytes()) for name in ("archive.pth", "stream.pth")]

  def read(seed: Seed) -> None:
    path.write_bytes(seed.content)
    arrays = torch_file.read_arrays(path)
    assert all(type(name) is str and type(value) is np.ndarray for name, value in arrays.items())
    assert sum(value.nbytes for value in arrays.values()) <= 4 * len(seed.content) + 2**26

  return Reader(seeds, read, (ValueError, OSError))


def _lmdb(folder: pathlib.Path) -> Reader | None:
  if importlib.util.find_spec("lmdb") is None:
    return None
  import lmdb

  place = folder / "church_outdoor_train_lmdb"
  place.mkdir(parents=True)
  random = _random()
  for part in range(3):  # Of several transactions: some pages are free.
    with lmdb.open(str(place), map_size=2**22) as database, database.begin(write=True) as writing:
      for number in range(12):
        pixels = random.integers(0, 256, (9 + 5 * number, 20, 3)).astype(np.uint8)
        image = _saved(lambda buffer, p=pixels: Image.fromarray(p).save(buffer, "webp"))
        writing.put(b"%02d" % ((number * 7 + part) % 30), image)
  seeds = [Seed("data.mdb", (place / "data.mdb").read_bytes())]

  def read(seed: Seed) -> None:
    (place / seed.name).write_bytes(seed.content)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    _check(
      data.load("lsun/church_outdoor", data_dir=folder, image_size=8, cache_dir=folder / "cache")
    )

  return Reader(seeds, read, (data.DataError,))


def _config(folder: pathlib.Path) -> Reader:
  seeds = []
  for preset in ("digits", "church"):
    training = runs.NetworkTraining.of_preset(preset, runs.DataSpec("digits"))
    text = json.dumps(training.as_dict() | {"seconds": 3.5, "finished": True}, indent=2)
    seeds.append(Seed(workdir.CONFIG, text.encode()))

  def read(seed: Seed) -> None:
    (folder / seed.name).write_bytes(seed.content)
    assert type(workdir.read_config(folder)) is dict

  return Reader(seeds, read, (ValueError, OSError))


def _metrics(folder: pathlib.Path) -> Reader:
  fields = nsn_jax.Record._fields
  values: dict[str, Any] = {name: 0.25 * place for place, name in enumerate(fields)}
  rows = [json.dumps({"layer": layer, **values}) + "\n" for layer in (0, 0, 1, 1, 2)]
  seeds = [Seed(runs.METRICS, "".join(rows).encode())]

  def read(seed: Seed) -> None:
    (folder / seed.name).write_bytes(seed.content)
    found = runs.read_metrics(folder)
    assert all(isinstance(record, nsn_jax.Record) for layer in found for record in layer)

  return Reader(seeds, read, (ValueError, OSError))


def _reference(folder: pathlib.Path) -> Reader:
  random = _random()
  scores = evaluation.Evaluation(7, 2.0, 0.1, *random.random(7).tolist())
  statistics = reference_files.Statistics(
    random.random((6, 4)).astype(np.float32), random.random(7), scores
  )
  identity = reference_files.Identity("a" * 64, "b" * 64)
  path = folder / "x.npz"
  reference_files.write(path, identity, statistics)
  seeds = [Seed(path.name, path.read_bytes())]

  def read(seed: Seed) -> None:
    path.write_bytes(seed.content)
    found = reference_files.read(path, identity)
    np.testing.assert_array_equal(found.features, statistics.features, strict=True)
    np.testing.assert_array_equal(
      found.held_out_distances, statistics.held_out_distances, strict=True
    )
    assert found.held_out == scores

  return Reader(seeds, read, (ValueError, OSError))


def _faulty(folder: pathlib.Path) -> Reader:
  """What a reader must not do: a test has each found."""
  del folder
  sound = b"sound" * 20
  kept: list[bytes] = []

  def endless() -> None:
    while True:
      time.sleep(0.01)

  def deaf() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    endless()

  def greedy() -> None:
    kept.append(b"x" * (limits.GROWTH + 2**24))
    kept.clear()

  def hidden() -> None:
    try:
      bytearray(2**50)
    except MemoryError as error:
      raise ValueError("too large") from error

  def wordy() -> None:
    raise ValueError("two\nlines")

  def wrong() -> None:
    raise AssertionError("another result")

  def foreign() -> None:
    raise KeyError("another error")

  def dying() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)

  faults = [endless, deaf, greedy, hidden, wordy, wrong, foreign, dying]
  by_name = {fault.__name__: fault for fault in faults}

  def read(seed: Seed) -> None:
    if seed.content != sound:
      by_name[seed.name]()

  return Reader([Seed(name, sound) for name in by_name], read, (ValueError,))


#: Each makes its reader and sound files in a folder of its own; None where a package is missing.
READERS: dict[str, Callable[[pathlib.Path], Reader | None]] = {
  "npz": _npz,
  "images": _images,
  "cache": _cache,
  "partial": _partial,
  "model": _model,
  "state": _state,
  "classifier": _classifier,
  "torch": _torch,
  "lmdb": _lmdb,
  "reference": _reference,
  "config": _config,
  "metrics": _metrics,
  "faulty": _faulty,
}
