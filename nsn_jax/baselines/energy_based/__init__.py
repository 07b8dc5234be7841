"""Boltzmann machines, and their normaliser by annealed importance sampling."""
