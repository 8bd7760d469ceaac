"""Numbers and pictures to one self-contained page."""
