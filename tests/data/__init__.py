"""Tests of `nsn_jax.data`."""
