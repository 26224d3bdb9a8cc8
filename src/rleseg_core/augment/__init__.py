"""Random changes to training patches: geometry, intensity, on a device."""
