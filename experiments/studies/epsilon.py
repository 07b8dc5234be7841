"""What the whitening's epsilon does: a strip of samples and a score for each, plain images first.

    python -m experiments.studies.epsilon --model=... --data_dir=... --workdir=runs/epsilon

Networks of the same layers and numbers of filters as the given one are trained on the first images
of its training, 4,000 where `--limit` gives no other number, whitened by one epsilon each. So that
only epsilon differs, filters are not found by the threshold here: growth goes on to the given
network's numbers. Contrast is chosen for each anew by the finder (`experiments.common.finding`),
and the judge scores it; where a data set has no labels there is neither, and it stays as it is.
`epsilon.png` shows a row of samples an epsilon,
`epsilon.json` holds the numbers.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

import nsn_jax
from experiments.common import command_line, finding, judging, pictures, provenance, workdir
from experiments.paper import layouts
from nsn_jax.metrics import evaluation
from nsn_jax.pixel_range import to_uint8

__all__ = ["EPSILONS", "config_like", "vary"]

#: Beside plain images and the network's own.
EPSILONS = (0.01, 0.1, 0.3, 1.0, 3.0)
#: Images, the first ones.
_TRAINED_ON = 4_000
_BETAS = (1.0, 1.25, 1.5, 2.0, 2.5)
#: Above any similarity: every patch asks for a new filter.
_ALWAYS_BELOW = 1e6
_SHOWN = 12


def config_like(nsn: nsn_jax.NSN, epsilon: float | None) -> nsn_jax.NetworkConfig:
  """The network's configuration, with its numbers of filters given and another epsilon."""
  layers = tuple(
    dataclasses.replace(
      layer,
      threshold=_ALWAYS_BELOW,
      max_filters=count,
      min_growth=0.0,
      min_patches=1,
      patience=20,
      max_passes=4,
    )
    for layer, count in zip(nsn.config.layers, nsn.num_filters, strict=True)
  )
  return dataclasses.replace(nsn.config, layers=layers, whitening_epsilon=epsilon)


def vary(
  key: jax.Array,
  nsn: nsn_jax.NSN,
  images: npt.NDArray[np.uint8],
  judges: tuple[finding.Finder, judging.Judge] | None,
  folder: pathlib.Path,
  num_samples: int,
  report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
  """Trains and draws a network an epsilon.

  Args:
    key: PRNG key, of training and of the samples: the same for all.
    nsn: whose layers, numbers of filters and sampler are taken.
    images: uint8 [N, H, W, C], to train on.
    judges: who chooses the contrast, and who scores; None for neither.
    folder: of the picture.
    num_samples: that are scored, and drawn of each contrast.
    report: told of each row.

  Returns:
    Plain values, a row an epsilon.
  """
  train_key, sample_key = jax.random.split(key)
  rows, strips = [], []
  whitened = {*EPSILONS, nsn.config.whitening_epsilon}
  for epsilon in (None, *sorted(tried for tried in whitened if tried is not None)):
    found = nsn_jax.fit(train_key, images, config_like(nsn, epsilon))
    sampler = found.config.sampler
    row: dict[str, Any] = {"epsilon": epsilon, "num_filters": list(found.num_filters)}
    said = ""
    if judges is not None:
      finder, judge = judges
      sampler, likeness = _best(sample_key, finder, found, num_samples)
      score, _ = judging.score_samples(sample_key, judge, found, num_samples, sampler)
      row |= {"score": score.as_dict(), "likeness": likeness.as_dict()}
      said = f": beta {sampler.beta:g}, {score.row()}"
    row |= {"sampler": dataclasses.asdict(sampler)}
    rows.append(row)
    strips.append(to_uint8(nsn_jax.sample(sample_key, found, _SHOWN, sampler)))
    report(f"epsilon {layouts.epsilon.name(epsilon)}, filters {found.num_filters}{said}")
  pictures.grid(np.concatenate(strips), folder / "epsilon.png", columns=_SHOWN, title=_title(rows))
  return rows


def _best(
  key: jax.Array, finder: finding.Finder, nsn: nsn_jax.NSN, num_samples: int
) -> tuple[nsn_jax.SamplerConfig, finding.Likeness]:
  """The network's sampler at the contrast of the lowest cost, and how like its samples are."""
  ranked = []
  for beta in _BETAS:
    sampler = dataclasses.replace(nsn.config.sampler, beta=beta)
    images = to_uint8(nsn_jax.sample(key, nsn, num_samples, sampler))
    ranked.append((sampler, finding.likeness(finder, images)))
  return min(ranked, key=lambda pair: pair[1].cost)


def _title(rows: Sequence[dict[str, Any]]) -> str:
  shown = []
  for row in rows:
    score = f" (IS {row['score']['inception_score']:.2f})" if "score" in row else ""
    shown.append(layouts.epsilon.name(row["epsilon"]) + score)
  return f"epsilon of the whitening, from above: {'; '.join(shown)}"


def _define_flags() -> None:
  command_line.define_figure("Seed of training and samples.", num_samples=3_000)


def _main() -> None:
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  data, _, nsn = command_line.judged()
  limit = given.limit or min(_TRAINED_ON, data.limit or _TRAINED_ON)
  train = data.replace(limit=limit).load()
  judges = None
  if train.labels is not None:
    evaluation.check_count("num_samples", given.num_samples)
    whole = data.replace(limit=None).load().images
    judges = (
      finding.finder(data.name, whole, data_dir=data.data_dir, image_size=data.image_size),
      judging.judge(data.name, data_dir=data.data_dir, image_size=data.image_size),
    )
  rows = vary(jax.random.key(given.seed), nsn, train.images, judges, folder, given.num_samples)
  provenance.write_result(folder / "epsilon.json", {"num_images": len(train.images), "rows": rows})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
