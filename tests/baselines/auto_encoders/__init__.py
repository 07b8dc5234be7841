"""Tests of `nsn_jax.baselines.auto_encoders`."""
