"""Tests of `nsn_jax.baselines.adversarial`."""
