"""Model files, the registry of installed models, and models built from them."""
