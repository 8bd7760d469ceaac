"""Weights that others trained become one of our model files: unpickled in a process apart, matched by name and shape."""
