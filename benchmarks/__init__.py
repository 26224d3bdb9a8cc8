"""Programs that print a table of speeds; run one with ``python -m benchmarks.NAME``."""
