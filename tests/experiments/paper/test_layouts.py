"""What is said of a run is computed from its numbers, by hand here."""

from experiments.paper import layouts


def _filling(scores):
  return [
    {"mask": mask, "method": method, "psnr": psnr, "ssim": psnr / 100}
    for mask, methods in scores.items()
    for method, psnr in methods.items()
  ]


def test_who_fills_best_behind_which_mask():
  rows = _filling(
    {
      "disc": {"NSN": 10.0, "NSN, 4 rounds": 12.0, "mean image": 11.0},
      "stripes": {"NSN": 9.0, "NSN, 4 rounds": 8.0, "mean image": 11.5},
      "square": {"NSN": 9.0, "NSN, 4 rounds": 8.0, "mean image": 10.0},
    }
  )
  psnr, ssim = layouts.filling.verdicts(rows)
  assert psnr == (
    "Highest PSNR: NSN, 4 rounds, behind disc; mean image, behind stripes, square. NSN's better "
    "filling is short of that by 0.00 to 2.50 dB."
  )
  assert ssim.endswith("short of that by 0.000 to 0.025.")


def test_nothing_is_short_where_the_network_is_best():
  best = _filling({"disc": {"NSN": 10.0, "mean image": 9.0}})
  assert layouts.filling.verdicts(best)[0] == "Highest PSNR: NSN, behind disc."
  others = _filling({"disc": {"mean image": 9.0}})
  assert layouts.filling.verdicts(others)[0] == "Highest PSNR: mean image, behind disc."
  assert layouts.filling.verdicts([]) == []


def test_the_best_epsilon_and_how_far_neighbours_are():
  rows = [
    {"epsilon": epsilon, "score": {"inception_score": score}}
    for epsilon, score in ((None, 5.0), (0.1, 6.5), (1.0, 6.25))
  ]
  (found,) = layouts.epsilon.verdicts(rows)
  assert found.startswith(
    "Highest inception score: epsilon 0.1 (6.50), then 1 (6.25); neighbours differ by 1.50 at most."
  )
  # Without labels there is no score, and of one there is nothing to say.
  assert layouts.epsilon.verdicts([{"epsilon": None}, {"epsilon": 1.0}]) == []
  assert layouts.epsilon.verdicts(rows[:1]) == layouts.epsilon.verdicts([]) == []


def test_the_preset_of_the_best_score():
  found = {
    name: {"real": {"inception_score": 9.5}, "samples": {"inception_score": score}}
    for name, score in (("digits", 7.0), ("digits-large", 8.0))
  }
  assert layouts.scores.verdicts(found) == [
    "Highest inception score: digits-large's, 8.00; real images have 9.50."
  ]
  assert layouts.scores.verdicts({}) == []


def _scored(score, **features):
  row = {"inception_score": score, "deviation": 0.1, "confidence": 0.9, "class_shares": [0.4, 0.6]}
  return row | {"mean_pixel_ratio": 1.0, "white_excess": 0.0} | features


def test_features_scores_are_shown_where_all_have_them():
  real = _scored(9.0, fid=1.0, precision=0.95, recall=0.9)
  found = {
    "digits": {"real": real, "samples": _scored(7.0, fid=20.0, precision=0.9, recall=0.5)},
    "digits-large": {"real": real, "samples": _scored(8.0, fid=30.0, precision=0.8, recall=0.1)},
  }
  head, first, second, _ = layouts.scores.cells(found)
  assert head[:5] == ["preset", "inception score", "FID", "precision", "recall"]
  assert first[2:5] == ["1.00", "0.950", "0.900"] and second[2:5] == ["20.00", "0.900", "0.500"]
  assert layouts.scores.verdicts(found)[1] == (
    "Lowest FID: digits's, 20.00, at a recall of 0.500; real images have 1.00."
  )
  found["before"] = {"real": real, "samples": _scored(6.0)}
  assert all(len(row) == 6 for row in layouts.scores.cells(found))
  assert len(layouts.scores.verdicts(found)) == 1


def test_images_that_are_read_have_a_line_a_size():
  rows = [
    {"n": 2000, "side": 64, "decoded": 1834.4, "mapped": 123456.7},
    {"n": 500, "side": 256, "decoded": 99.6, "mapped": 4000.0},
  ]
  assert layouts.speed.reader_cells(rows)[1:] == [
    ["2,000", "64x64", "1,834", "123,457"],
    ["500", "256x256", "100", "4,000"],
  ]


def test_what_categories_mean():
  assert layouts.codes.cells({"num_images": 10_000, "accuracy": 0.7144}) == [
    ["test images", "of the class of their category"],
    ["10,000", "71.4%"],
  ]
  assert layouts.codes.cells({"dataset": "lfw"}) is None


def test_how_sure_classifiers_are_of_preferred_images():
  rows = [
    {"images": "real test images", "unexplained": None, "judge": [1.0, 0.5], "finder": [0.5, 0.5]},
    {"images": "layer 1", "unexplained": 0.25, "judge": [1.0, 1.0], "finder": [0.0, 1.0]},
  ]
  head, real, layer = layouts.preferred.cells(rows)
  assert head[1:4] == ["pixels lost", "judge", "its worst class"]
  assert real == ["real test images", "-", "0.750", "0.500", "0.500", "0.500"]
  assert layer == ["layer 1", "25.0%", "1.000", "1.000", "0.500", "0.000"]


def test_how_near_images_of_known_factors_come():
  row = {"factors": "unseen", "by": "network", "num_images": 1440}
  row |= {"root_mean_square_error": 25.5, "psnr": 20.0}
  assert layouts.known_factors.cells([row]) == [
    ["factors", "by", "images", "error", "PSNR"],
    ["unseen", "network", "1,440", "25.5", "20.0"],
  ]


def test_a_data_sets_blocks_stand_together():
  made = [
    ("mnist", "a", "nsn"),
    ("lfw", "a", "dcgan"),
    ("mnist", "b", "rbm"),
    ("mnist", "a", "gan"),
  ]
  rows = [dict(zip(("dataset", "network", "model"), row, strict=True)) for row in made]
  found = [
    (dataset, network, [row["model"] for row in group])
    for dataset, network, group in layouts.table2.groups(rows)
  ]
  assert found == [
    ("mnist", "a", ["gan", "nsn"]),
    ("mnist", "b", ["rbm"]),
    ("lfw", "a", ["dcgan"]),
  ]


def test_the_main_judge_is_of_the_first_kind_and_trained_last():
  rows = [
    {"dataset": dataset, "model": model, "network": network}
    for dataset, network, models in (
      ("lfw", "classifier of scenes, 86.05% on test images", ("dcgan", "nsn")),
      ("mnist", "classifier of mnist, 99.38% on test images", ("dcgan", "nsn")),
      ("lfw", "ImageNet Inception v3", ("dcgan", "nsn")),
      ("lfw", "classifier of scenes, 86.10% on test images", ("real", "dcgan", "nsn-best")),
      ("mnist", "classifier of mnist, 99.42% on test images", ("real", "infogan")),  # no NSN
      ("digits", "classifier of digits, 99.00% on test images", ("real", "nsn")),  # no opponent
    )
    for model in models
  ]
  found = layouts.table2.main_judges(rows)
  assert [(dataset, network) for dataset, network, _ in found] == [
    ("lfw", "classifier of scenes, 86.10% on test images"),
    ("mnist", "classifier of mnist, 99.38% on test images"),
  ]
  assert [row["model"] for row in found[0][2]] == ["real", "dcgan", "nsn-best"]
