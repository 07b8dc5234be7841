"""Images in folders: cropping, sizes, kinds, labels and splits, against hand-made files."""

import gc
import itertools
import os
import threading

import numpy as np
import pytest
from PIL import Image

from nsn_jax import data
from nsn_jax.data import broken, folder
from tests.data.helpers import black_png, flat, save


def test_folder_crops_the_centre_square(tmp_path):
  wide = flat(0, 6, 12)
  wide[:, :3], wide[:, 9:] = 255, 255  # White sides, which the crop takes away.
  wide[:3, 3:9, 0], wide[3:, 3:9, 2] = 200, 100  # Red above, blue below.
  save(tmp_path / "a.png", wide)
  save(tmp_path / "b.png", wide.transpose(1, 0, 2))
  images = data.load(f"folder:{tmp_path}", image_size=6).images
  # Not resampled at equal size: the square is exact.
  np.testing.assert_array_equal(images[0], wide[:, 3:9])
  np.testing.assert_array_equal(images[1], wide[:, 3:9].transpose(1, 0, 2))


def test_folder_resize_is_antialiased(tmp_path):
  stripes = flat(0, 256, 256)
  stripes[:, ::2] = 255
  save(tmp_path / "a.png", stripes)
  images = data.load(f"folder:{tmp_path}").images
  assert images.shape == (1, 64, 64, 3) and images.dtype == np.uint8
  # Every fourth pixel alone would be all white; the mean is 127.5. At the rim the cut-off filter
  # leaves a ripple of 11 levels, inside of it 3.
  assert np.abs(images[:, :, 2:-2] - 127.5).max() < 4
  assert np.abs(images - 127.5).max() < 12


def test_folder_finds_all_kinds_below_it_in_order_of_name(tmp_path):
  names = ["b/2.PNG", "a.jpeg", "b/1.bmp", "c.webp", "d.gif", "e.jpg"]
  for value, name in enumerate(names):
    save(tmp_path / name, flat(40 * value))
  (tmp_path / "notes.txt").write_text("no image")
  (tmp_path / "._a.jpeg").write_text("left by macOS")
  images, labels = data.load(f"folder:{tmp_path}", image_size=4)
  assert labels is None  # Not every image lies in a class folder.
  order = [names.index(n) for n in ("a.jpeg", "b/1.bmp", "b/2.PNG", "c.webp", "d.gif", "e.jpg")]
  # Two grey levels for the lossy formats.
  np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 40.0 * np.array(order), atol=2)


def test_folder_gives_rgb_of_any_mode_upright(tmp_path):
  Image.new("L", (9, 9), 70).save(tmp_path / "grey.png")
  Image.fromarray(np.full((9, 9), 70 * 256, np.uint16)).save(tmp_path / "grey16.png")
  Image.new("RGBA", (9, 9), (70, 70, 70, 255)).save(tmp_path / "alpha.png")
  assert (data.load(f"folder:{tmp_path}").images == 70).all()
  turned = Image.fromarray(np.concatenate([flat(0, 8, 16), flat(240, 8, 16)]))
  exif = turned.getexif()
  exif[0x0112] = 3  # Orientation: upside down.
  turned.save(tmp_path / "turned.png", exif=exif)
  image = data.load(f"folder:{tmp_path}", image_size=16).images[-1]
  assert (image[:8] == 240).all() and (image[8:] == 0).all()


def test_folder_labels_and_splits(tmp_path):
  for split, offset in (("train", 0), ("test", 100)):
    for number, name in enumerate(["ant", "bee", "cow"]):
      if (split, name) != ("test", "ant"):  # A class the test split lacks must not move the rest.
        save(tmp_path / split / name / "deeper" / "x.png", flat(offset + number))
        save(tmp_path / split / name / "y.png", flat(offset + number))
  train = data.load(f"folder:{tmp_path}")
  test = data.load(f"folder:{tmp_path}", split="test")
  assert train.labels.tolist() == [0, 0, 1, 1, 2, 2] and train.labels.dtype == np.int32
  assert test.labels.tolist() == [1, 1, 2, 2]
  assert train.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
  assert test.images[:, 0, 0, 0].tolist() == [101, 101, 102, 102]
  assert data.load(f"folder:{tmp_path}", limit=3).labels.tolist() == [0, 0, 1]


def test_folder_without_splits_tests_on_every_tenth_image(tmp_path):
  for number in range(21):
    save(tmp_path / "abc"[number // 10] / f"{number:02d}.png", flat(number))
  train, test = (data.load(f"folder:{tmp_path}", split=split) for split in ("train", "test"))
  assert test.images[:, 0, 0, 0].tolist() == [9, 19] and test.labels.tolist() == [0, 1]
  rest = [number for number in range(21) if number not in (9, 19)]
  assert train.images[:, 0, 0, 0].tolist() == rest
  assert train.labels.tolist() == [number // 10 for number in rest]


def test_folder_of_few_images_is_all_train(tmp_path):
  save(tmp_path / "a" / "x.png", flat(1))
  save(tmp_path / "b" / "y.png", flat(2))
  assert data.load(f"folder:{tmp_path}").labels.tolist() == [0, 1]
  with pytest.raises(data.MissingSplitError, match=r"^split: .*got 'test' of fewer$"):
    data.load(f"folder:{tmp_path}", split="test")


def test_folder_empty_or_missing(tmp_path):
  with pytest.raises(data.DataError, match=r"^name: expected image files .* got none$"):
    data.load(f"folder:{tmp_path}")
  with pytest.raises(data.DataError, match=r"^name: expected a folder .*nowhere'"):
    data.load(f"folder:{tmp_path / 'nowhere'}")


def test_batches_are_put_together_in_order(tmp_path, monkeypatch):
  monkeypatch.setattr(folder, "_BATCH", 3)
  for value in range(8):
    save(tmp_path / f"{value}.png", flat(value))
  assert data.load(f"folder:{tmp_path}").images[:, 0, 0, 0].tolist() == list(range(8))


# splits


def _values(found):
  return found.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("train", ["train", "Train", "TRAIN", "training", "Training"])
@pytest.mark.parametrize(
  "test", ["test", "Test", "TEST", "testing", "val", "Val", "valid", "validation", "VALIDATION"]
)
def test_splits_have_their_usual_names(tmp_path, warnings, train, test):
  for name, value in ((train, 10), (test, 20)):
    save(tmp_path / name / "b" / "0.png", flat(value))
  save(tmp_path / train / "a" / "0.png", flat(5))
  first = data.load(f"folder:{tmp_path}")
  second = data.load(f"folder:{tmp_path}", split="test")
  assert _values(first) == [5, 10] and first.labels.tolist() == [0, 1]
  assert _values(second) == [20] and second.labels.tolist() == [1]
  assert not warnings


@pytest.mark.parametrize(
  "names",
  [
    *itertools.combinations(["test", "testing", "val", "valid", "validation"], 2),
    *[("test", "Test", "TEST"), ("Test", "TEST"), ("Test", "val"), ("VAL", "validation")],
  ],
)
def test_of_several_splits_the_first_is_read_and_the_others_are_told(tmp_path, warnings, names):
  save(tmp_path / "train" / "0.png", flat(10))
  for value, name in enumerate(names):
    save(tmp_path / name / "0.png", flat(value))
  if len(list(tmp_path.iterdir())) <= len(names):
    pytest.skip("this disk does not tell capitals from small letters")
  # In the order in which they are given here, TEST before Test by their letters.
  expected = sorted(names[:2])[0] if "TEST" in names and "test" not in names else names[0]
  found = data.load(f"folder:{tmp_path}", split="test")
  assert _values(found) == [names.index(expected)]
  (line,) = warnings
  assert f"test = {expected!r}" in line and "train = 'train'" in line
  assert all(repr(name) in line.rpartition(":")[2] for name in names if name != expected)


def test_folders_beside_the_splits_are_told(tmp_path, warnings):
  for name in ("train", "Unlabelled", "extra", ".git"):
    save(tmp_path / name / "0.png", flat(10))
  assert _values(data.load(f"folder:{tmp_path}")) == [10]
  assert len(warnings) == 1 and warnings[0].endswith("are left out: 'Unlabelled', 'extra'")
  with pytest.raises(data.MissingSplitError, match=r"^split: expected one that .* got 'test'$"):
    data.load(f"folder:{tmp_path}", split="test")


def test_classes_of_similar_names_are_no_splits(tmp_path, warnings):
  for value, name in enumerate(["evaluation", "tests", "trains", "vale"]):
    save(tmp_path / name / "0.png", flat(value))
  found = data.load(f"folder:{tmp_path}")
  assert _values(found) == found.labels.tolist() == [0, 1, 2, 3] and not warnings


# links


def test_links_are_followed(tmp_path, warnings):
  save(tmp_path / "elsewhere" / "one" / "x.png", flat(10))
  save(tmp_path / "elsewhere" / "two" / "y.png", flat(20))
  save(tmp_path / "elsewhere" / "z.png", flat(30))
  root = tmp_path / "root"
  (root / "train" / "ant").mkdir(parents=True)
  (root / "train" / "bee").symlink_to(tmp_path / "elsewhere" / "two")
  (root / "train" / "ant" / "deeper").symlink_to(tmp_path / "elsewhere" / "one")
  (root / "train" / "ant" / "z.png").symlink_to(tmp_path / "elsewhere" / "z.png")
  (root / "val").symlink_to(tmp_path / "elsewhere")
  found = data.load(f"folder:{root}")
  assert _values(found) == [10, 30, 20] and found.labels.tolist() == [0, 0, 1]
  assert _values(data.load(f"folder:{root}", split="test")) == [10, 20, 30] and not warnings
  (tmp_path / "link").symlink_to(root)
  assert _values(data.load(f"folder:{tmp_path / 'link'}")) == [10, 30, 20]


def test_links_in_a_circle_end(tmp_path, warnings):
  save(tmp_path / "a" / "b" / "0.png", flat(10))
  (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
  (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
  (tmp_path / "a" / "loop.png").symlink_to(tmp_path / "a" / "loop.png")
  (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
  assert _values(data.load(f"folder:{tmp_path}")) == [10]
  (line,) = warnings
  assert "2 links to a folder around them" in line and "2 links that lead nowhere" in line
  (tmp_path / "circle").symlink_to(tmp_path / "circle")
  with pytest.raises(data.DataError, match=r"^name: "):
    data.load(f"folder:{tmp_path / 'circle'}")


def test_folders_of_very_many_ways_are_refused(tmp_path):
  """Two links in each of 40 folders are a billion times a thousand ways to the last."""
  for number in range(40):
    (tmp_path / f"{number}").mkdir()
    for name in "ab":
      (tmp_path / f"{number}" / name).symlink_to(tmp_path / f"{number + 1}")
  save(tmp_path / "40" / "0.png", flat(10))
  with pytest.raises(data.DataError, match=r"^name: expected folders that at most 100 links"):
    data.load(f"folder:{tmp_path / '0'}")


# what is left out


def test_files_of_other_kinds_are_counted(tmp_path, warnings):
  save(tmp_path / "0.png", flat(10))
  for number in range(3):
    (tmp_path / f"{number}.tif").write_bytes(b"x")
    (tmp_path / f"{number}.TIFF").write_bytes(b"x")
    (tmp_path / f".{number}.heic").write_bytes(b"x")
  for name in ("README", "labels.csv", "a.b.tif"):
    (tmp_path / name).write_bytes(b"x")
  os.mkfifo(tmp_path / "pipe.png")
  assert _values(data.load(f"folder:{tmp_path}")) == [10]
  (line,) = warnings
  counts = line.partition("beside the images: ")[2].split(", ")
  assert counts[:2] == ["4 .tif", "3 .tiff"]
  assert set(counts[2:]) == {"1 without an ending", "1 .csv", "1 that are no files"}


def test_a_folder_of_nothing_but_others_says_of_what(tmp_path):
  for number in range(3):
    (tmp_path / f"{number}.tif").write_bytes(b"x")
  with pytest.raises(data.DataError, match=r"^name: expected image files .* got 3 \.tif$"):
    data.load(f"folder:{tmp_path}")


def test_many_endings_and_odd_names_are_one_line(tmp_path, warnings):
  save(tmp_path / "0.png", flat(10))
  for number in range(15):
    (tmp_path / f"x.\n{number}\x1b[2J").write_bytes(b"x")
  data.load(f"folder:{tmp_path}")
  assert warnings[0].endswith("and 5 more")
  assert "\n" not in warnings[0] and "\x1b" not in warnings[0]


# broken images


def _folder_with_broken(tmp_path, count, broken):
  for number in range(count):
    save(tmp_path / "ab"[number % 2] / f"{number:03d}.png", flat(number % 256))
  for number in broken:
    (tmp_path / "ab"[number % 2] / f"{number:03d}.png").write_bytes(b"no image")


def test_a_few_broken_images_are_left_out_and_told(tmp_path, warnings):
  _folder_with_broken(tmp_path, 250, [3, 100])
  images, labels = data.load(f"folder:{tmp_path}", image_size=4)
  # Of 250, every tenth is a test image; both broken ones are of the training part.
  order = [number for number in range(250) if number % 2 == 0]
  order += [number for number in range(250) if number % 2]
  kept = [number for place, number in enumerate(order) if place % 10 != 9]
  kept = [number for number in kept if number not in (3, 100)]
  assert images[:, 0, 0, 0].tolist() == kept
  assert labels.tolist() == [number % 2 for number in kept]
  (line,) = warnings
  assert line == f"{tmp_path}: left out 2 of 225 images, which are broken: 'a/100.png', 'b/003.png'"
  # Out of the cache as well.
  again = data.load(f"folder:{tmp_path}", image_size=4)
  np.testing.assert_array_equal(again.images, images)
  np.testing.assert_array_equal(again.labels, labels)
  assert warnings == [line, line]
  assert len(data.load(f"folder:{tmp_path}", split="test").images) == 25 and len(warnings) == 2


def test_what_is_told_of_a_folder_of_an_odd_name_is_kept(tmp_path, warnings):
  _folder_with_broken(tmp_path / "a\nb", 250, [3])
  for _ in range(2):
    data.load(f"folder:{tmp_path}/a\nb", image_size=4)
  assert len(warnings) == 2 and warnings[0] == warnings[1] and "a\\nb: left out 1" in warnings[0]


def test_more_broken_images_are_an_error(tmp_path, warnings, cache_dir):
  _folder_with_broken(tmp_path, 250, [3, 100, 200])
  for _ in range(2):
    with pytest.raises(data.DataError) as error:
      data.load(f"folder:{tmp_path}")
    line = str(error.value)
    assert line.startswith(
      f"{tmp_path / 'a' / '100.png'}: expected an image that Pillow can decode"
    )
    assert (
      line.endswith("(3 of 225 images are broken: more than 1% of all 225)") and "\n" not in line
    )
  assert not warnings and not list(cache_dir.iterdir())


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50, 224, 225, 1000])
def test_a_limit_counts_the_images_that_are_there(tmp_path, warnings, limit):
  """The first image, the third and the last are not."""
  _folder_with_broken(tmp_path, 300, [])
  whole = data.load(f"folder:{tmp_path}", image_size=4)
  for name in ("a/000.png", "a/004.png"):
    (tmp_path / name).write_bytes(b"no image")
  images, labels = data.load(f"folder:{tmp_path}", image_size=4, limit=limit)
  kept = [1, *range(3, 270)][:limit]
  np.testing.assert_array_equal(images, whole.images[kept])
  np.testing.assert_array_equal(labels, whole.labels[kept])
  assert ("'a/000.png'" in warnings[0]) and ("'a/004.png'" in warnings[0]) == (limit > 1)
  again = data.load(f"folder:{tmp_path}", image_size=4, limit=limit)
  np.testing.assert_array_equal(again.images, images)
  assert len(warnings) == 2 and warnings[0] == warnings[1]


def test_a_limit_hides_no_broken_folder(tmp_path):
  _folder_with_broken(tmp_path, 250, [0, 2, 4])
  with pytest.raises(data.DataError, match=r"\(3 of 3 images are broken: more than 1% of all 225"):
    data.load(f"folder:{tmp_path}", limit=1)


def test_threads_end_with_what_asked_for_them(tmp_path):
  """Not when the garbage collector comes."""
  _folder_with_broken(tmp_path, 250, [0, 2, 4])
  before = threading.active_count()
  gc.disable()
  try:
    with pytest.raises(data.DataError, match="are broken") as raised:
      data.load(f"folder:{tmp_path}")
    assert threading.active_count() == before, raised
  finally:
    gc.enable()


def test_no_more_than_ten_are_named(tmp_path, warnings, monkeypatch):
  monkeypatch.setattr(broken, "_SHARE", 0.5)
  _folder_with_broken(tmp_path, 250, range(0, 40, 2))
  data.load(f"folder:{tmp_path}")
  assert "left out 18 of 225 images" in warnings[0] and warnings[0].endswith("and 8 more")


@pytest.mark.parametrize("content", [b"", b"hello", black_png(20_000, 20_000, rows=0), "half"])
def test_one_broken_image_of_a_few_is_an_error(tmp_path, content):
  save(tmp_path / "a.png", flat(1))
  half = (tmp_path / "a.png").read_bytes()[:40]
  (tmp_path / "b.png").write_bytes(half if content == "half" else content)
  with pytest.raises(data.DataError, match=r"b\.png: expected an image .* got: .+1 of 2 images"):
    data.load(f"folder:{tmp_path}")


def test_a_file_that_may_not_be_read_is_no_broken_image(tmp_path, monkeypatch, warnings):
  _folder_with_broken(tmp_path, 250, [])
  path_open = folder.pathlib.Path.open

  def refusing(path, *rest):
    if path.name == "003.png":
      raise PermissionError(13, "Permission denied")
    return path_open(path, *rest)

  monkeypatch.setattr(folder.pathlib.Path, "open", refusing)
  with pytest.raises(
    data.DataError, match=r"003\.png: expected a file that can be read, got: Perm"
  ):
    data.load(f"folder:{tmp_path}")
  assert threading.active_count() < 3 and not warnings


def test_a_folder_that_may_not_be_looked_into_is_one_line(tmp_path, monkeypatch):
  save(tmp_path / "a" / "0.png", flat(1))
  scan = os.scandir

  def refusing(path):
    if folder.pathlib.Path(path).name == "a":
      raise PermissionError(13, "Permission denied", str(path))
    return scan(path)

  monkeypatch.setattr(folder.os, "scandir", refusing)
  with pytest.raises(data.DataError, match=r"^name: expected .* to be readable, got: .*Permission"):
    data.load(f"folder:{tmp_path}")
