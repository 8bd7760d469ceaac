"""H&E and HER2 IHC of invented tumours: architecture, cells, stains, section, scanner."""
