"""Backbones, from pixels to feature maps: ResNet, VideoSwin, patches of a vision transformer."""
