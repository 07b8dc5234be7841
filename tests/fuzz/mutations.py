"""Changes of a file's bytes: blind ones, and such as keep its frame whole."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["mutate"]

#: Numbers at which readers' arithmetic ends.
_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_LARGE = (*_NUMBERS, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**15, 10**30)
#: A file grows by so many bytes at most, so that what is slow is the reader.
_GROWTH = 2**20
#: Most damage should be near a file's beginning and end, where its frame is.
_RIM = 256

Random = np.random.Generator


def mutate(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
  """A changed copy.

  Args:
    random: decides all.
    content: of a sound file.
    others: of sound files, parts of which may come in.
  """
  changed = content
  while changed == content:
    # Blind changes of a file that has checksums get no further than these, so half keep its frame.
    changes = _frame(content) if random.integers(2) else _BLIND
    for _ in range(int(random.integers(1, 4))):
      changed = changes[random.integers(len(changes))](random, changed, others)
  return changed


def _frame(content: bytes) -> "tuple[Change, ...]":
  """Changes that keep the frame that a file has."""
  if content.startswith(b"PK"):
    return (_member,)
  if content.startswith(b"\x89PNG"):
    return (_chunk,)
  if content[8:9] == b"{":
    return (_header,)
  return _digits, _number


def _place(random: Random, content: bytes) -> int:
  """Somewhere in the content, or at its end."""
  size = len(content)
  near = min(_RIM, size)
  kind = random.integers(4)
  if kind == 0:
    return int(random.integers(near + 1))
  if kind == 1:
    return size - int(random.integers(near + 1))
  return int(random.integers(size + 1))


def _span(random: Random, content: bytes, most: int = 64) -> tuple[int, int]:
  start = _place(random, content)
  return start, min(len(content), start + int(random.integers(1, most + 1)))


def _flip(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """Single bits."""
  changed = bytearray(content)
  for _ in range(int(random.integers(1, 9))):
    place = _place(random, content)
    if place < len(changed):
      changed[place] ^= 1 << int(random.integers(8))
  return bytes(changed)


def _noise(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """Other bytes in the place of some."""
  start, end = _span(random, content)
  return content[:start] + random.bytes(end - start) + content[end:]


def _number(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """A number at which something ends, in one of the usual sizes and both orders."""
  width = (1, 2, 4, 8)[random.integers(4)]
  value = _LARGE[random.integers(len(_LARGE))] % 256**width
  start = _place(random, content)
  written = value.to_bytes(width, ("little", "big")[random.integers(2)])
  return content[:start] + written + content[start + width :]


def _cut(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """The beginning, or the end, alone."""
  place = _place(random, content)
  return content[:place] if random.integers(4) else content[place:]


def _remove(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  start, end = _span(random, content)
  return content[:start] + content[end:]


def _repeat(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """A part several times, or very often."""
  start, end = _span(random, content)
  part = content[start:end]
  times = int(random.choice([2, 3, 100, 10_000]))
  return content[:start] + (part * times)[:_GROWTH] + content[end:]


def _insert(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  place = _place(random, content)
  return content[:place] + random.bytes(int(random.integers(1, 65))) + content[place:]


def _splice(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
  """The beginning of one file and the end of another."""
  other = others[random.integers(len(others))]
  return content[: _place(random, content)] + other[_place(random, other) :]


def _exchange(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """Two parts in each other's place."""
  one, other = sorted((_span(random, content), _span(random, content)))
  if one[1] > other[0]:
    return content
  middle = content[one[1] : other[0]]
  parts = content[: one[0]], content[slice(*other)], middle, content[slice(*one)]
  return b"".join(parts) + content[other[1] :]


def _digits(random: Random, content: bytes, _: Sequence[bytes]) -> bytes:
  """Another number where one is written out."""
  found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
  if not found:
    return content
  start, end = found[random.integers(len(found))].span()
  values = [str(number).encode() for number in _LARGE]
  values += [b"-1", b"1e999", b"NaN", b"null", b"[]", b"9" * (end - start), b"9" * 5000]
  values += [b"[" * 3000, b'"a"', b"{}", b"true", b"0.5", b""]
  return content[:start] + values[random.integers(len(values))] + content[end:]


def _member(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
  """A change within a zip archive, whose checksums are right again."""
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      members = [(info.filename, archive.read(info)) for info in archive.infolist()]
  except Exception:
    return _flip(random, content, others)
  if not members:
    return content
  chosen = int(random.integers(len(members)))
  name, inner = members[chosen]
  if random.integers(8) == 0:
    members[chosen] = (members[random.integers(len(members))][0] + "x" * random.integers(2), inner)
  else:
    members[chosen] = (name, _BLIND[random.integers(len(_BLIND))](random, inner, others))
  packed = io.BytesIO()
  method = zipfile.ZIP_DEFLATED if random.integers(3) == 0 else zipfile.ZIP_STORED
  with zipfile.ZipFile(packed, "w", method) as archive:
    for name, inner in dict(members).items():
      archive.writestr(name, inner)
  return packed.getvalue()


def _chunk(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
  """A change within a chunk of a PNG, whose checksum is right again."""
  chunks, place = [], 8
  while content.startswith(b"\x89PNG") and place + 12 <= len(content):
    (size,) = struct.unpack_from(">I", content, place)
    chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
    place += 12 + size
  if not chunks:
    return _flip(random, content, others)
  chosen = int(random.integers(len(chunks)))
  kind, inner = chunks[chosen]
  chunks[chosen] = kind, _BLIND[random.integers(len(_BLIND))](random, inner, others)
  parts = [content[:8]]
  for kind, inner in chunks:
    checksum = zlib.crc32(kind + inner)
    parts.append(struct.pack(">I", len(inner)) + kind + inner + struct.pack(">I", checksum))
  return b"".join(parts)


def _header(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
  """A change of a safetensors file's JSON, whose length is right again."""
  size = int.from_bytes(content[:8], "little")
  if content[8:9] != b"{" or 8 + size > len(content):
    return _digits(random, content, others)
  change = _digits if random.integers(2) else _BLIND[random.integers(len(_BLIND))]
  text = change(random, content[8 : 8 + size], others)
  return struct.pack("<Q", len(text)) + text + content[8 + size :]


Change = Callable[[Random, bytes, Sequence[bytes]], bytes]

_BLIND: tuple[Change, ...] = (
  _flip,
  _noise,
  _number,
  _cut,
  _remove,
  _repeat,
  _insert,
  _splice,
  _exchange,
  _digits,
)
