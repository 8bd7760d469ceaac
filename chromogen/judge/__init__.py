"""Folders of predictions to scores: what metrics.json holds; the leaderboard."""
