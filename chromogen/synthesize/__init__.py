"""Labelled data sets out of noise: drawn, rendered, read back, audited and exported."""
