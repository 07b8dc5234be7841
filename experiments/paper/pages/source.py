"""The results' files, as the pages read them."""

import pathlib
import re
from typing import Any
from urllib.parse import quote

import jinja2

from experiments.common import tables, workdir
from nsn_jax import files

__all__ = ["PAGE", "Results", "render"]

_HERE = pathlib.Path(__file__).parent
_WORDS = "words.json"
#: The page of all results, in their folder.
PAGE = "README.md"


class Results:
  """The results' files, each read once and known to be linked to or not.

  Attributes:
    root: their folder.
    words: titles, notes and captions.
    linked: names of the files that a page links to.
  """

  def __init__(self, root: pathlib.Path):
    """Reads the words; raises ValueError where there are none."""
    self.root = root
    self.words = self.json(_WORDS)
    if not self.words:
      raise ValueError(f"results: expected {_WORDS} in {str(root)!r}, got none")
    self.linked = {_WORDS, PAGE}

  def title(self, dataset: str) -> str:
    """What a data set is called; raises ValueError where no word is said of it."""
    folder = workdir.dataset_folder(dataset)
    if folder not in self.words["datasets"]:
      raise ValueError(f"results: expected a title of {folder!r} in {_WORDS}, got none")
    return self.words["datasets"][folder]["title"]

  def json(self, name: str) -> dict[str, Any]:
    """A file's JSON; empty where there is none."""
    return files.read_json(self.root / name)

  def rows(self, name: str, key: str = "rows") -> list[dict[str, Any]]:
    """The rows in a file that must be there; raises ValueError where they are not."""
    found = self.json(name)
    if key not in found:
      raise ValueError(f"results: expected {key!r} in {name}, got none")
    return found[key]

  def named(self, pattern: str) -> list[str]:
    """Names of the files of a pattern, sorted."""
    return sorted(path.relative_to(self.root).as_posix() for path in self.root.glob(pattern))

  def link(self, name: str, text: str) -> str:
    """A link to a file."""
    self.linked.add(name)
    return f"[{text}]({quote(name)})"

  def picture(self, name: str, caption: str) -> str:
    """A picture with what is to be seen on it."""
    self.linked.add(name)
    return f"{caption}\n\n![{caption.replace('`', '')}]({quote(name)})"

  def made(self, name: str) -> str:
    """How a result was made: commit, device, time, and a link to all of it."""
    found = self.json(name)
    took = f", {tables.seconds(found['seconds'])}" if "seconds" in found else ""
    return f"{self.link(name, 'JSON')}: commit {found['revision']}, {found['device']}{took}."

  def unlinked(self) -> list[str]:
    """Files that no page links to."""
    there = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*.*")}
    return sorted(there - self.linked)


def render(template: str, **values: Any) -> str:
  """Fills in a template of this folder; blank lines are one at most."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE), trim_blocks=True, lstrip_blocks=True
  )
  text = environment.get_template(template).render(**values)
  return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
