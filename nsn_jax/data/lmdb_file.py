"""Values out of an LMDB file, which every offset that it names is checked against.

LMDB itself trusts its files: one that was cut off, or changed, ends the process by a signal. What
reading needs of the format is little: two pages of meta-data, of which the newer counts, and a tree
of pages that begin with offsets of their nodes. A value is in its leaf, or on pages of its own.
"""

import os
import struct
from typing import BinaryIO, NamedTuple

__all__ = ["Place", "count", "locate", "read"]

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_NO_PAGE = 2**64 - 1
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
#: Those, and two kinds that a database of several values a key has; the others are a writer's own.
_KINDS = 0x6F
#: A page's number, flags, and the ends of its offsets and of its free space, or number of pages.
_PAGE = struct.Struct("<QHHHH")
#: Magic number, version, address, size of the map; then, of the free pages and of the values: size
#: of a page, flags, depth, numbers of branches, leaves, overflow pages and entries, root; last page
#: and number of the transaction.
_META_DATA = struct.Struct("<IIQQ" + 2 * "IHHQQQQQ" + "QQ")
#: Two parts of the value's length, or of a branch's page; flags; length of the key.
_NODE = struct.Struct("<HHHH")
#: The value is on pages of its own. All other flags are of databases within the database.
_BIG = 1
#: Of a database: it has several values a key.
_SEVERAL = 4
_MAX_DEPTH = 32


class Place(NamedTuple):
  """Where a value lies in the file, in bytes."""

  start: int
  size: int


def count(file: BinaryIO) -> int:
  """How many values the file says that it has; raises as `locate` does."""
  return _Tree(file).count


def locate(file: BinaryIO, limit: int | None = None) -> list[Place]:
  """Where the values are, in the order of their keys.

  Args:
    file: `data.mdb`, as 64-bit machines of the usual byte order write it.
    limit: of the first ones only; None for all.

  Raises:
    ValueError: for another file, and one that is cut off or damaged.
    OSError: where it cannot be read.
  """
  return _Tree(file).places(limit)


def read(file: BinaryIO, place: Place) -> bytes:
  """The value at a place. Raises ValueError where the file ends before it."""
  file.seek(place.start)
  found = file.read(place.size)
  if len(found) != place.size:
    raise ValueError(f"it ends within the {place.size} bytes at {place.start}")
  return found


class _Tree:
  """The pages of a file, of which each is to be met once: so no walk through them is endless.

  Attributes:
    count: of values, as the file has it.
  """

  def __init__(self, file: BinaryIO):
    self._file = file
    self._size = file.seek(0, os.SEEK_END)
    first = self._meta(0)
    page_size = first[4]
    if not 256 <= page_size <= 2**16 or page_size & (page_size - 1):
      raise ValueError(f"it has pages of {page_size} bytes")
    self._page_size = page_size
    newest = max(first, self._meta(page_size), key=lambda meta: meta[-1])
    *_, flags, depth, _, _, _, self.count, self._root, _, _ = newest
    if flags & _SEVERAL or depth > _MAX_DEPTH:
      raise ValueError("it holds several values a key, or is too deep")
    self._met = bytearray(self._size // page_size)

  def places(self, limit: int | None) -> list[Place]:
    """See `locate`."""
    found: list[Place] = []
    if self._root == _NO_PAGE:
      return found
    open_pages = [(self._root, 1)]
    while open_pages and (limit is None or len(found) < limit):
      number, depth = open_pages.pop()
      if depth > _MAX_DEPTH:
        raise ValueError("its tree is too deep")
      page, flags, nodes = self._page(number)
      if flags == _BRANCH:
        # The last that is put here is the first to be read.
        open_pages += [(self._below(page, at), depth + 1) for at in reversed(nodes)]
      elif flags == _LEAF:
        found += [self._place(number, page, at) for at in nodes]
      else:
        raise ValueError(f"page {number} is none of its tree")
    if limit is None and len(found) != self.count:
      raise ValueError(f"it says {self.count} values and has {len(found)}")
    return found[:limit]

  def _meta(self, start: int) -> tuple[int, ...]:
    content = read(self._file, Place(start, _PAGE.size + _META_DATA.size))
    found = _META_DATA.unpack_from(content, _PAGE.size)
    if _PAGE.unpack_from(content)[2] & _KINDS != _META or found[:2] != (_MAGIC, _VERSION):
      raise ValueError("it does not begin as an LMDB of version 1")
    return found

  def _take(self, number: int, count: int = 1) -> int:
    """Where a run of pages begins, which must be in the file and not have been met."""
    if not 0 < count <= len(self._met) - number:
      raise ValueError(f"it ends before page {number + count - 1}")
    if any(self._met[number : number + count]):
      raise ValueError(f"page {number} stands in two places of its tree")
    self._met[number : number + count] = bytes([1]) * count
    return number * self._page_size

  def _page(self, number: int) -> tuple[bytes, int, list[int]]:
    """A page, its kind, and where its nodes begin in it."""
    page = read(self._file, Place(self._take(number), self._page_size))
    own_number, _, flags, lower, _ = _PAGE.unpack_from(page)
    count, odd = divmod(lower - _PAGE.size, 2)
    if own_number != number or odd or not 0 <= 2 * count <= self._page_size - _PAGE.size:
      raise ValueError(f"page {number} is damaged")
    nodes = list(struct.unpack_from(f"<{count}H", page, _PAGE.size))
    if any(not lower <= at <= self._page_size - _NODE.size for at in nodes):
      raise ValueError(f"page {number} is damaged")
    return page, flags & _KINDS, nodes

  def _below(self, page: bytes, at: int) -> int:
    low, high, highest, _ = _NODE.unpack_from(page, at)
    return low | high << 16 | highest << 32

  def _place(self, number: int, page: bytes, at: int) -> Place:
    low, high, flags, key_size = _NODE.unpack_from(page, at)
    size = low | high << 16
    start = at + _NODE.size + key_size
    inside = 8 if flags == _BIG else size
    if flags not in (0, _BIG) or start + inside > self._page_size:
      raise ValueError(f"page {number} is damaged")
    if not flags:
      return Place(number * self._page_size + start, size)
    (first,) = struct.unpack_from("<Q", page, start)
    count = -(-(_PAGE.size + size) // self._page_size)
    begin = self._take(first, count)
    own_number, _, kind, low, high = _PAGE.unpack(read(self._file, Place(begin, _PAGE.size)))
    if own_number != first or kind & _KINDS != _OVERFLOW or low | high << 16 < count:
      raise ValueError(f"page {first} is damaged")
    return Place(begin + _PAGE.size, size)
