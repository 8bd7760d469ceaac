"""Metrics and controls, pure arithmetic: arrays in, numbers out; no files."""
