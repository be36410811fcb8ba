"""Predictions of trained networks, and how good they are."""
