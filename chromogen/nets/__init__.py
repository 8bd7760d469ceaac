"""Networks: blocks, generators, discriminators, attention, readers."""
