"""Tests of `nsn_jax.metrics.classifier`."""
