"""Tests of what launchers share."""
