"""The evaluation container of a public challenge."""
