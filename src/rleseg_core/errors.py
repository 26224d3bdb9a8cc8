"""Errors that a user can mend; each message is one sentence, to be shown as it is."""

from rleseg_core.text import printable


class RlesegError(Exception):
    """Base of all errors whose message is meant for the user, without control characters."""

    def __str__(self) -> str:
        return printable(super().__str__())


class SchemeError(RlesegError):
    """A tokenization, or a model for it, that cannot be built; the message gives the remedy."""


class DataError(RlesegError):
    """An image, mask or folder that cannot be read, or does not fit the others."""


class CheckpointError(RlesegError):
    """A model file that is missing, damaged or of another kind."""


class BudgetError(RlesegError):
    """A task that is too large: too many tokens, or too little memory for a batch of one."""


class TrainingError(RlesegError):
    """Training that cannot start or continue; the last good checkpoint is kept."""


class UnwritableError(DataError):
    """A session that can be looked at, and not be written to; the message says why."""


class InUseError(DataError):
    """A session or folder that another program is writing to; the message says which one.

    Parameters
    ----------
    message : str
        The sentence for the user.
    holder : object
        The program that holds the lock, as `rleseg_core.locks.Holder`; None if it is not known.
    """

    def __init__(self, message: str, holder: object = None):
        super().__init__(message)
        self.holder = holder


class DataWarning(UserWarning):
    """Something about images or masks that was assumed or is missing; one sentence."""

    def __str__(self) -> str:
        return printable(super().__str__())


class OutputError(RlesegError):
    """An output that would destroy something; nothing has been written."""
