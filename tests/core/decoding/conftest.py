"""The tiny model and run tables of the model tests."""

from ..model.conftest import config, images, model, tables, tokens  # noqa: F401
