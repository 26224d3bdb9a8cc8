"""Everything of the authors' implementation: its models, their settings, weights and tokens.

`pull` downloads a published model by name, `import_checkpoint` converts a checkpoint on the disk;
both write a model file of ours. `read_tf_checkpoint` and `to_state_dict` give the weights alone.
"""

from rleseg_core.published.archives import ARCHIVES, REPOSITORY, Archive, cache_folder, pull, unpack
from rleseg_core.published.importing import import_checkpoint
from rleseg_core.published.settings import Settings
from rleseg_core.published.tensorflow import read_tf_checkpoint
from rleseg_core.published.tokens import published_tokenizer, read_leniently
from rleseg_core.published.weights import to_parameters, to_state_dict

__all__ = [
    "ARCHIVES",
    "REPOSITORY",
    "Archive",
    "Settings",
    "cache_folder",
    "import_checkpoint",
    "published_tokenizer",
    "pull",
    "read_leniently",
    "read_tf_checkpoint",
    "to_parameters",
    "to_state_dict",
    "unpack",
]
