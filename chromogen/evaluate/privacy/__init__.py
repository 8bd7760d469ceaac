"""Whether made images repeat the patients they were learnt from."""
