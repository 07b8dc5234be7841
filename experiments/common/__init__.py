"""What launchers share: command lines, folders, records, trainings, judges and pictures."""

__all__: list[str] = []
