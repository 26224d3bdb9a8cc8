"""What can go wrong in a way the user can mend: each message is one sentence to show as it is."""


class RlesegError(Exception):
    """Base of all errors whose message is meant for the user."""


class SchemeError(RlesegError):
    """A tokenization, or a model for it, that cannot be built; the message gives the remedy."""


class DataError(RlesegError):
    """An image, mask or folder that cannot be read, or does not fit the others."""


class CheckpointError(RlesegError):
    """A model file that is missing, damaged or of another kind."""


class BudgetError(RlesegError):
    """A task that does not fit: too many tokens, or too little memory even for a batch of one."""


class TrainingError(RlesegError):
    """Training that cannot start or go on; the last good checkpoint is kept."""
