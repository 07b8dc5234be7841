"""Tests of `nsn_jax.applications`."""
