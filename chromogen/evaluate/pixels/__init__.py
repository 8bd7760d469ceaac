"""How alike two images are that show the same cells in the same places, and whether one is blurred."""
