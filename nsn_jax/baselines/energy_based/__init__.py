"""Boltzmann machines, and their normaliser by annealed importance sampling."""

__all__: list[str] = []
