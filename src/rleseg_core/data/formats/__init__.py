"""File formats: one module for each, and a registry of them."""
