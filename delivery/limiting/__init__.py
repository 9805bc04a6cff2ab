"""How fast and how many at once: shared by all workers through Redis."""
