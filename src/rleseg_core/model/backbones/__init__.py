"""Image backbones: ResNet, Swin, patches."""
