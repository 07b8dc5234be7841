"""Tables 3 and 4 of a small training, and what is no training."""

import pytest

import nsn_jax
from experiments.common import network_training, runs, workdir
from experiments.paper import layouts, tables34
from nsn_jax import files


def test_tables_3_and_4(tmp_path):
  layer = nsn_jax.LayerConfig(
    kernel=28, stride=1, exchange_steps=0, max_passes=1, max_filters=5, patience=1
  )
  training = runs.NetworkTraining(
    data=runs.DataSpec("digits", limit=60),
    network=nsn_jax.NetworkConfig(layers=(layer,), exact_decoders=False),
    preset="small",
  )
  result = network_training.train(tmp_path, training, num_samples=4)
  found = tables34.read(tmp_path)
  assert [row["num_filters"] for row in found["layers"]] == list(result.nsn.num_filters)
  assert [row["input"] for row in found["layers"]] == [28]
  assert found["num_images"] == 60 and all(row["paper"] is None for row in found["layers"])
  head, names, row = layouts.tables34.as_text([found]).strip().splitlines()
  assert head.startswith("small: 60 images of digits") and len(names) == len(row)
  assert row.split()[:4] == ["0", "28x28", "28x28,", "1"]
  with pytest.raises(OSError, match="expected a folder with model"):
    tables34.read(tmp_path / "none")
  (tmp_path / "alone").mkdir()
  nsn_jax.save(tmp_path / "alone" / runs.MODEL, result.nsn)
  with pytest.raises(OSError, match=r"workdir: expected a training's folder, with config.json"):
    tables34.read(tmp_path / "alone")
  # The paper's churches stand beside any network of their preset, plain ones too.
  files.write_json(
    tmp_path / workdir.CONFIG, workdir.read_config(tmp_path) | {"preset": "church-plain"}
  )
  assert [row["paper"] for row in tables34.read(tmp_path)["layers"]] == [273]
