"""Checkpoints: what was saved comes back, the last two are kept, and wrong ones are refused."""

import jax
import pytest

from nsn_jax import baselines
from tests.baselines.helpers import KEY, same, small


def test_checkpoints_keep_the_last_two(tmp_path, images):
  model = small("dcgan")
  states = [model.init(jax.random.key(index)) for index in range(3)]
  with baselines.Checkpoints(tmp_path / "c") as kept:
    assert kept.last_epoch is None
    with pytest.raises(ValueError, match="checkpoints: expected at least one"):
      kept.restore(states[0])
    for epoch, state in enumerate(states):
      kept.save(epoch, state)
  with baselines.Checkpoints(tmp_path / "c") as kept:
    assert kept.last_epoch == 2
    assert same(kept.restore(states[0]), states[2])
    for epoch in (1, 2):
      with pytest.raises(ValueError, match=f"epoch: expected one after 2, .* got {epoch}"):
        kept.save(epoch, states[0])
    with pytest.raises(ValueError, match="checkpoints: expected one of this model, got another"):
      kept.restore(small("dcgan", width=3).init(KEY))
  assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["1", "2"]
