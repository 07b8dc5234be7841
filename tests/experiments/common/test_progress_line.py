"""The progress line on a terminal, its clock made up."""

import nsn_jax
from experiments.common import progress_line


class _Terminal:
  """A stream that says it is a terminal."""

  def __init__(self):
    self.text = ""

  def isatty(self):
    return True

  def write(self, text):
    self.text += text

  def flush(self):
    pass


def test_progress_line_on_a_terminal(monkeypatch):
  clock = [100.0]
  monkeypatch.setattr(progress_line.time, "monotonic", lambda: clock[0])
  stream = _Terminal()
  line = progress_line.ProgressLine(3, stream)
  record = nsn_jax.Record("growth", 4, 37, 0.125, -1.0, 1000, 5.0)
  line(nsn_jax.Progress(1, record, "growth", 4, 0, 1000, 1.0))
  clock[0] += 2
  line(nsn_jax.Progress(1, record, "growth", 5, 0, 9000, 1.0))
  expected = "layer 1 [2/3] growth 6, 37 filters, 12.5% below threshold, 4k patches/s"
  assert expected in stream.text and "left" not in stream.text
  line(nsn_jax.Progress(1, record, "em", 0, 8, 9000, 0.5))
  clock[0] += 10
  line(nsn_jax.Progress(1, record, "em", 1, 8, 9000, 0.5))
  # One of the eight took ten seconds, six and a half are left.
  assert "phase done in 1:05 at most" in stream.text
  clock[0] += 10
  line(nsn_jax.Progress(2, None, "maps", 0, 1, 0, 0.25))
  clock[0] += 10
  line(nsn_jax.Progress(2, None, "maps", 0, 1, 0, 0.5))
  assert "layer 2 [3/3] encoding its input, phase done in 0:20 at most" in stream.text
  line.layer_done(1, [record])
  line.close()
  assert "layer 1 [2/3]: 37 filters, 12.50% of the patches" in stream.text
