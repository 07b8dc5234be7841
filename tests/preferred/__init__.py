"""Tests of `nsn_jax.preferred`."""
