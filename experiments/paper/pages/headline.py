"""The README's table of headline results, between two marks."""

from experiments.common import tables
from experiments.paper import layouts
from experiments.paper.layouts import names
from experiments.paper.pages.source import Results
from nsn_jax import baselines

__all__ = ["put", "table"]

_BEGIN = "<!-- headline: written by python -m experiments.paper.results_page -->"
_END = "<!-- /headline -->"


def table(results: Results) -> str:
  """The README's table: real images, the best baseline and the best NSN of each data set."""
  titles = names.titles()
  cells = [["", "", "inception score", "FID", "precision", "recall", "training"]]
  for dataset, _, group in layouts.table2.main_judges(results.rows("tables/table2.json")):
    opponents = [row for row in group if row["model"] in baselines.MODELS]
    real = [row for row in group if row["model"] == names.REAL]
    title = results.title(dataset)
    for row in (*real, min(opponents, key=lambda row: row["fid"]), layouts.table2.best_nsn(group)):
      cells.append(
        [
          title,
          titles[row["model"]],
          f"{row['inception_score']:.2f}",
          f"{row['fid']:.2f}",
          f"{row['precision']:.3f}",
          f"{row['recall']:.3f}",
          tables.seconds(row["training_seconds"]),
        ]
      )
      title = ""
  return tables.markdown(cells, left=2)


def put(text: str, results: Results) -> str:
  """The README with its headline anew; raises ValueError where it has no marks."""
  before, begin, rest = text.partition(_BEGIN)
  _, end, after = rest.partition(_END)
  if not begin or not end:
    raise ValueError(f"README.md: expected the marks {_BEGIN} and {_END}, got none")
  return f"{before}{begin}\n\n{table(results)}\n\n{end}{after}"
