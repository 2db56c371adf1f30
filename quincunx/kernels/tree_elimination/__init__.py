"""Newton systems over a cluster tree, solved by elimination from the leaves to the roots."""
