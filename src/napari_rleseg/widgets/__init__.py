"""The panels of the dock and the controls that they share; they compute nothing."""
