"""How alike two sets of images are to an extractor, and how varied one set is."""
