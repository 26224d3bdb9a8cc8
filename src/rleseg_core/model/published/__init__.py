"""Weights of the published implementation, in our model."""

from rleseg_core.model.published.names import to_parameters, to_state_dict
from rleseg_core.model.published.tf_checkpoint import find_index, read_tf_checkpoint

__all__ = ["find_index", "read_tf_checkpoint", "to_parameters", "to_state_dict"]
