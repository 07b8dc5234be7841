"""What launchers share: command lines, folders, records, trainings, judges and pictures."""
