"""Whether the stain is right: DAB densities, HER2 cell by cell, the level a reader sees, nuclei kept."""
