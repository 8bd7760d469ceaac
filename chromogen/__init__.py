"""Chromogen: one kind of tissue image from another. Research use only; not for diagnosis.

>>> import chromogen
>>> stain = chromogen.load("her2-demo")
>>> ihc = stain(he)  # uint8 RGB arrays (H, W, 3), any size
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load` is found when it is asked for, so that `import chromogen` stays quick and the layers stay in order."""
    if name == "load":
        from chromogen.infer.stainer import load

        return load
    raise AttributeError(f"module 'chromogen' has no attribute {name!r}")
