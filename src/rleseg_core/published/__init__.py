"""The authors' published models: fetched, and made into model files of ours."""

from rleseg_core.published.archives import ARCHIVES, REPOSITORY, Archive, cache_folder, pull, unpack
from rleseg_core.published.importing import import_checkpoint
from rleseg_core.published.tokens import published_tokenizer, read_leniently

__all__ = [
    "ARCHIVES",
    "REPOSITORY",
    "Archive",
    "cache_folder",
    "import_checkpoint",
    "published_tokenizer",
    "pull",
    "read_leniently",
    "unpack",
]
