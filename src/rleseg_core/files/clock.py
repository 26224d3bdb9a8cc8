"""The time stamp that files carry."""

from datetime import datetime


def time_stamp() -> str:
    """Local time in ISO 8601 with its offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
