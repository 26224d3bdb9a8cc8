"""Scores of masks against the truth, and reports of them."""
