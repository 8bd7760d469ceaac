"""H&E and IHC of the same place: found in folders, checked, augmented, drawn in batches."""
