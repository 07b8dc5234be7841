"""The tests: their folders are the library's packages."""
