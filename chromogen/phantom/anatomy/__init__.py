"""Phantom anatomy: seeded cases of radiology and of the eye, drawn in millimetres, with the truth behind them.

>>> case = draw(Brain(size_px=64), seed=1, number=0)
>>> sorted(case.images), case.mask.shape
(['FLAIR', 'T1', 'T1POST', 'T2'], (64, 64))
"""

from chromogen.phantom.anatomy.brain import Brain, draw_brain
from chromogen.phantom.anatomy.case import AnatomyCase
from chromogen.phantom.anatomy.chest import Chest, draw_chest
from chromogen.phantom.anatomy.folder import Anatomy, draw, write_anatomy
from chromogen.phantom.anatomy.fundus import Fundus, draw_fundus
from chromogen.phantom.anatomy.lung_ct import LungCT, draw_lung_ct

__all__ = [
    "Anatomy",
    "AnatomyCase",
    "Brain",
    "Chest",
    "Fundus",
    "LungCT",
    "draw",
    "draw_brain",
    "draw_chest",
    "draw_fundus",
    "draw_lung_ct",
    "write_anatomy",
]
