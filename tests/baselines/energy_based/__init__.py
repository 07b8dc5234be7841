"""Tests of `nsn_jax.baselines.energy_based`."""
