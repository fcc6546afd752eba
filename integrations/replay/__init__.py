"""Wire samples played through the product's real code, with nothing of the network."""
