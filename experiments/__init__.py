"""Launchers: `python -m experiments.NAME`. Each imports nsn_jax, which knows none of them."""
