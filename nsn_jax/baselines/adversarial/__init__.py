"""GANs: two networks that play against each other."""

__all__: list[str] = []
