"""Tests of `nsn_jax.metrics.inception`."""
