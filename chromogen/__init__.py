"""Chromogen: one kind of tissue image from another. Research use only; not for diagnosis."""

__version__ = "0.1.0"
