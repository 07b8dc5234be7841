"""The page of all results: every table and figure that is kept, data set by data set."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.common import tables
from experiments.paper import layouts, published
from experiments.paper.pages.source import Results, render
from nsn_jax import baselines

__all__ = ["page"]

#: Columns of Table 2 that a page has no room for.
_WIDE = ("nearest", "trained on", "parameters", "images", "KID x 1000")


def page(results: Results) -> str:
  """The page of all results, Markdown."""
  return render(
    "results.md.jinja",
    stages=_stages(results),
    table1=_table1(results),
    table2=list(_table2(results)),
    tables34=_tables34(results),
    speed=_speed(results),
    datasets=[_dataset(results, folder) for folder in results.words["datasets"]],
  )


def _stages(results: Results) -> dict[str, Any]:
  found = results.rows("tables/stages.json", "stages")
  commits = sorted({stage["revision"] for stage in found})
  return {
    "count": len(found),
    "time": tables.seconds(sum(stage["seconds"] for stage in found)),
    "commits": ", ".join(commits),
    "link": results.link("tables/stages.json", "every stage"),
  }


def _table1(results: Results) -> dict[str, Any]:
  rows = results.rows("tables/table1.json")
  return {
    "caption": layouts.table1.caption(rows),
    "table": tables.markdown(layouts.table1.cells(rows)),
    "link": results.link("tables/table1.json", "JSON"),
  }


def _table2(results: Results) -> Iterator[dict[str, Any]]:
  rows = results.rows("tables/table2.json")
  results.link("tables/table2.json", "JSON")
  for dataset, network, group in layouts.table2.groups(rows):
    yield {
      "title": results.title(dataset),
      "network": network,
      "table": tables.markdown(layouts.table2.cells(group, without=_WIDE)),
      "sentences": [*layouts.table2.origins(group), *layouts.table2.verdicts(group)],
    }


def _tables34(results: Results) -> list[dict[str, Any]]:
  results.link("tables/tables34.json", "JSON")
  return [
    {
      "caption": layouts.tables34.caption(table),
      "table": tables.markdown(layouts.tables34.cells(table)),
    }
    for table in results.rows("tables/tables34.json", "tables")
  ]


def _speed(results: Results) -> dict[str, Any]:
  found = results.json("tables/speed.json")
  return {
    "first_ms": f"{found['em'][0]['bare_ms']:.0f}",
    "table": tables.markdown(layouts.speed.cells(found["em"])),
    "sentences": layouts.speed.end_to_end(found["end_to_end"]),
    # Runs of before have none.
    "reader": tables.markdown(layouts.speed.reader_cells(found["reader"]))
    if "reader" in found
    else "",
    "made": results.made("tables/speed.json"),
  }


def _dataset(results: Results, folder: str) -> dict[str, Any]:
  """All that is kept of a data set, in the order of the page."""
  words = results.words["datasets"][folder]
  scores = {
    pathlib.PurePath(name).name.removesuffix(".score.json"): results.json(name)
    for name in results.named(f"{folder}/*.score.json")
  }
  growth = {
    pathlib.PurePath(name).name.removesuffix(".growth_vs_kmeans.json"): name
    for name in results.named(f"{folder}/*.growth_vs_kmeans.json")
  }
  return {
    "title": words["title"],
    "notes": words["notes"],
    "scores": {
      "caption": layouts.scores.caption(list(scores.values())),
      "table": tables.markdown(layouts.scores.cells(scores)),
      "made": [results.made(f"{folder}/{preset}.score.json") for preset in scores],
    }
    if scores
    else None,
    "presets": list(_preset_pictures(results, folder)),
    "figures": list(_figures(results, folder)),
    "growth": [
      {
        "preset": preset,
        "table": tables.markdown(
          layouts.growth.cells(results.json(name)["rows"], published.filter_counts(preset))
        ),
        "made": results.made(name),
      }
      for preset, name in growth.items()
    ],
    "bounds": [_bounds(results, name) for name in results.named(f"{folder}/*.bounds.json")],
    "outliers": _outliers(results, f"{folder}/outliers.json"),
    "baselines": list(_baselines(results, folder)),
  }


def _preset_pictures(results: Results, folder: str) -> Iterator[str]:
  for name in results.named(f"{folder}/*.samples.png"):
    preset = pathlib.PurePath(name).name.removesuffix(".samples.png")
    if preset not in baselines.MODELS:
      yield results.picture(name, f"Samples of the preset `{preset}`.")


def _figures(results: Results, folder: str) -> Iterator[dict[str, Any]]:
  """Pictures with captions, in the captions' order, and the numbers that stand beside them."""
  numbers = {
    "filling_square.png": ("filling.json", lambda found: layouts.filling.cells(found["rows"])),
    "epsilon.png": ("epsilon.json", _epsilon),
    "nearest.png": ("sample_grids.json", None),
    "sampler_effects.png": ("sampler_effects.json", None),
    "interpolation.png": ("arithmetic.json", None),
    "arithmetic.png": ("arithmetic.json", None),
    "codes_categories.png": ("codes.json", layouts.codes.cells),
    "preferred_layer_1.png": (
      "preferred.json",
      lambda found: layouts.preferred.cells(found["rows"]),
    ),
    "known_factors_unseen.png": (
      "known_factors.json",
      lambda found: layouts.known_factors.cells(found["rows"]),
    ),
  }
  done = set()
  for picture, caption in results.words["captions"].items():
    name = f"{folder}/{picture}"
    has_picture = (results.root / name).is_file()
    file, make = numbers.get(picture, ("", None))
    has_numbers = file not in done and (results.root / folder / file).is_file() and file
    if not (has_picture or has_numbers):
      continue
    found = results.json(f"{folder}/{file}") if has_numbers else {}
    done.add(file)
    cells = make(found) if make and found else None
    yield {
      "picture": results.picture(name, caption)
      if has_picture
      else f"{caption.partition(':')[0]}, in numbers:",
      "table": tables.markdown(cells) if cells else None,
      "copies": _copies(found) if found and file == "sample_grids.json" else None,
      "made": results.made(f"{folder}/{file}") if has_numbers else None,
    }


def _epsilon(found: Mapping[str, Any]) -> list[list[str]] | None:
  """The table of scores, where labels give any."""
  return layouts.epsilon.cells(found["rows"]) if "score" in found["rows"][0] else None


def _bounds(results: Results, name: str) -> dict[str, str]:
  """Where samples of a preset lose."""
  found = results.json(name)
  return {
    "preset": pathlib.PurePath(name).name.removesuffix(".bounds.json"),
    "caption": layouts.bounds.caption(found),
    "table": tables.markdown(layouts.bounds.cells(found["rows"])),
    "made": results.made(name),
  }


def _outliers(results: Results, name: str) -> dict[str, Any] | None:
  """Densities as outlier scores, where they are there."""
  found = results.json(name)
  if not found:
    return None
  return {
    "caption": layouts.outliers.caption(found),
    "table": tables.markdown(layouts.outliers.cells(found["rows"]), left=2),
    "made": results.made(name),
  }


def _copies(found: Mapping[str, Any]) -> str:
  """What the copy check says, a sentence."""
  relative = found["copies"]["relative"]
  return (
    f"A sample's distance to its nearest training image over that to the next ten is "
    f"{relative['generated']:.2f} in the median, {relative['held_out']:.2f} of held-out images; "
    f"{relative['suspected']:.1%} of the samples are below 99% of these."
  )


def _baselines(results: Results, folder: str) -> Iterator[dict[str, Any]]:
  for name, model in baselines.MODELS.items():
    epochs = f"{folder}/{name}.epochs.jsonl"
    if not (results.root / epochs).is_file():
      continue
    pictures = [
      results.picture(f"{folder}/{name}.{kind}.png", f"{model.title}: {caption}.")
      for kind, caption in (("samples", "samples"), ("curve", "scores by epoch"))
      if (results.root / folder / f"{name}.{kind}.png").is_file()
    ]
    yield {"title": model.title, "pictures": pictures, "link": results.link(epochs, "its epochs")}
