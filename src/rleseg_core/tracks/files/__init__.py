"""Tracks in files: a table, folders of the Cell Tracking Challenge, and GEFF."""
