"""What the paper does not have: the whitening's epsilon, growth against k-means, speed."""

__all__: list[str] = []
