"""The authors' checkpoints: fetched, and made into model files of ours."""

from rleseg_core.published.importing import import_checkpoint

__all__ = ["import_checkpoint"]
