"""Models that are trained by a bound of the density, through an approximate posterior."""

__all__: list[str] = []
