"""Every table and figure of the paper: `python -m experiments.paper`, or one launcher each."""

__all__: list[str] = []
