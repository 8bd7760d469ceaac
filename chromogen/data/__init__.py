"""What lies on disk, and training batches of it: a picture, a pair and a case each enter by one door."""
