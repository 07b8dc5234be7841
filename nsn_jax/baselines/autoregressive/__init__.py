"""Models whose density is a product over pixels, each given those before it."""

__all__: list[str] = []
