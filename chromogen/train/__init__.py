"""A run, the only loop, its state and log; chains of runs."""
