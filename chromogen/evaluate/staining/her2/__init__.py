"""HER2 of an IHC picture, cell by cell: nuclei, membranes, the classes of ASCO/CAP, a pattern and how far to trust it."""
