"""What of XLA's own messages is shown: as jaxlib 0.10 writes them where another process is gone."""

from experiments.common import native_messages

_OTHERS = """\
[Gloo] Rank 0 is connected to 1 peer ranks. Expected number of connected peer ranks is : 1
E1129 17:00:04.900318    4285 coordination_service.cc:1549] [111] Use error polling to propagate \
the following error to all tasks: UNAVAILABLE: The following tasks are unhealthy:
1
The tasks have crashed. Check the task logs for an earlier error.
"""
_FATAL = """\
F1129 17:00:04.901129    4296 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. This most likely indicates that another task died. absl::Status: UNAVAILABLE
*** Check failure stack trace: ***
    @     0x7f943d640634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""
_OWN = """\
W1129 17:00:05.000000    4296 allocator.cc:12] out of memory, trying again
  with less
plain words
"""


def _shown(text):
  return "".join(native_messages.shown(text.splitlines(keepends=True)))


def test_a_fatal_error_as_another_is_gone_is_one_line():
  assert _shown(_OTHERS + _FATAL + _OWN) == native_messages.LOST + "\n"


def test_one_line_where_python_notices_it_as_well():
  own = f"{native_messages.LOST}\n"
  assert _shown(_OTHERS + own + _FATAL) == native_messages.LOST + "\n"
  assert _shown(_FATAL + own) == native_messages.LOST + "\n"


def test_other_messages_are_left():
  assert _shown(_OWN + _OTHERS + _OWN) == 2 * _OWN
  assert _shown("plain words\n" + _OTHERS) == "plain words\n"
