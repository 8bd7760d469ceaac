"""Pictures of any size to virtual stains, with provenance."""
