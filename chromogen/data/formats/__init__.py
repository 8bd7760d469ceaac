"""Picture formats: what a file states about its samples, and the way from there to uint8 RGB."""
