"""Messages along a cluster tree, over the cells that can have mass."""
