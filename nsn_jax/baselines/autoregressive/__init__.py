"""Models whose density is a product over pixels, each given those before it."""
