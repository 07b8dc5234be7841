"""Models that are trained to give images back from their codes."""

__all__: list[str] = []
