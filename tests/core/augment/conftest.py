"""The frames of the training tests."""

from ..training.conftest import sequence  # noqa: F401
