"""GANs: two networks that play against each other."""
