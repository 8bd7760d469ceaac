"""Arithmetic of training: tensors in, scalar out. No weights, no files, no networks."""
