"""Connections that end with the Qt object they were made for."""

import contextlib
from collections.abc import Callable

from qtpy.QtCore import QObject


def listen(emitter: object, callback: Callable[..., object], owner: QObject) -> None:
    """Connect a signal of napari or psygnal until `owner` is destroyed.

    Qt disconnects its own signals when a receiver dies; napari's and psygnal's would call the
    methods of a widget that is gone.

    Parameters
    ----------
    emitter : EventEmitter or SignalInstance
        The signal.
    callback : callable
        Called with what the signal carries.
    owner : QObject
        Its ``destroyed`` ends the connection.
    """
    emitter.connect(callback)  # type: ignore[attr-defined]
    owner.destroyed.connect(lambda: _disconnect(emitter, callback))


def _disconnect(emitter: object, callback: Callable[..., object]) -> None:
    with contextlib.suppress(ValueError, KeyError, RuntimeError):  # it is disconnected already
        emitter.disconnect(callback)  # type: ignore[attr-defined]
