"""What launchers share: command lines, folders, records, trainings, judges and pictures."""

import time

__all__ = ["BEGAN"]

#: When a launcher began, but for what it imports before this: seconds of `time.perf_counter`.
BEGAN = time.perf_counter()
