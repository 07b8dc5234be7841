"""Tests of `nsn_jax.baselines.autoregressive`."""
