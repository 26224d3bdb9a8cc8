"""File formats: one module each, and a registry of them."""
