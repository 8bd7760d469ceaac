"""Registered radiology of one patient with its label: found, read, checked, split by patient, prepared."""
