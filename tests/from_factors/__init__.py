"""Tests of `nsn_jax.from_factors`."""
