"""The pages of the results: written from the JSON files in `experiments/results`, never by hand.

    python -m experiments.paper.results_page            # writes them
    python -m experiments.paper.results_page --check     # says whether they are what it would write

`experiments/results/README.md` shows every table and figure that is kept there,
`experiments/README.md` every command with its number and the paper's, and the README's table of
headline results stands between two marks. What is said of a picture is in `words.json`. A file that
no page links to is an error.
"""

import pathlib

from absl import flags

from experiments.common import command_line
from experiments.paper.pages import all_commands, all_results, headline, source
from nsn_jax import files

__all__ = ["ROOT", "write"]

#: The repository.
ROOT = pathlib.Path(__file__).parents[2]


def write(root: pathlib.Path = ROOT, *, check: bool = False) -> list[pathlib.Path]:
  """Writes the pages, or looks whether they are as they would be written.

  Args:
    root: of the repository.
    check: writes nothing.

  Returns:
    Those that were not as they would be written.

  Raises:
    ValueError: where a result is linked from nowhere, or the words or marks are missing.
  """
  results = source.Results(root / "experiments" / "results")
  readme = root / "README.md"
  pages = {
    results.root / source.PAGE: all_results.page(results),
    root / "experiments" / "README.md": all_commands.page(results),
    readme: headline.put(readme.read_text(encoding="utf-8"), results),
  }
  unlinked = results.unlinked()
  if unlinked:
    raise ValueError(
      f"results: expected every file to be linked from {source.PAGE}, got {', '.join(unlinked)} "
      "that are not: give each a caption in words.json, or remove it"
    )
  stale = [
    path
    for path, text in pages.items()
    if not path.is_file() or path.read_text(encoding="utf-8") != text
  ]
  for path in () if check else stale:
    files.write_text(path, pages[path])
  return stale


def _define_flags() -> None:
  flags.DEFINE_bool("check", False, "Writes nothing; an error where a page is not up to date.")


def _main() -> None:
  stale = [path.relative_to(ROOT).as_posix() for path in write(check=flags.FLAGS.check)]
  if flags.FLAGS.check and stale:
    raise ValueError(
      f"results: expected pages as their JSON files say, got stale ones, {', '.join(stale)}: run "
      "python -m experiments.paper.results_page"
    )
  print("\n".join(stale) or "all pages are up to date")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
