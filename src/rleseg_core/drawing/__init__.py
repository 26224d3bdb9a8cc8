"""Pictures: colours of classes, charts, masks over images, animations of tokens."""
