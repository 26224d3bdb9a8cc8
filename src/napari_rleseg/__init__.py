"""Desktop plugin of rleseg: load, segment, animate, correct and fine-tune in napari.

Importing the package imports neither Qt nor torch; the manifest says what to import on use.
"""
