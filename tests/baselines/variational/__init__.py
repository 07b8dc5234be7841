"""Tests of `nsn_jax.baselines.variational`."""
