"""How well masks, boxes and classes are found, and whether made images help a reader find them."""
