"""``rleseg train``: the command, its options, how runs begin, and what it prints."""

from rleseg_core.cli.train.command import train

__all__ = ["train"]
