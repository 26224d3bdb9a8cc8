"""Class colours, charts, masks over images, animations of tokens."""
