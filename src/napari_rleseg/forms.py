"""A frozen dataclass → a form → a new dataclass: one source for control, tooltip and value."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Generic, TypeVar, get_type_hints

from magicgui.widgets import create_widget
from qtpy.QtWidgets import QFormLayout, QWidget

from rleseg_core.docstrings import field_descriptions

Settings = TypeVar("Settings")


class Form(QWidget, Generic[Settings]):
    """Controls for some fields of a settings dataclass.

    Parameters
    ----------
    settings : dataclass instance
        The values to begin with; fields without a control keep theirs.
    names : sequence of str
        Fields to show, in this order.
    options : mapping of str to mapping
        Options of magicgui for a field, such as ``{"min": 1, "max": 64}``.
    labels : mapping of str to str
        What stands before a control; the field's name by default.
    parent : QWidget or None
        Owner.
    """

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        *,
        options: Mapping[str, Mapping[str, object]] | None = None,
        labels: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        if not is_dataclass(settings):
            raise TypeError(f"a form needs a dataclass, got {type(settings).__name__}")
        self._settings = settings
        hints, tips = get_type_hints(type(settings)), field_descriptions(type(settings))
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._controls = []
        for name in names:
            control = create_widget(
                name=name,
                annotation=hints[name],
                value=getattr(settings, name),
                options=dict((options or {}).get(name, {})),
            )
            control.tooltip = tips.get(name, "")
            self._controls.append(control)
            layout.addRow((labels or {}).get(name, name.replace("_", " ")), control.native)

    @property
    def value(self) -> Settings:
        """A new dataclass with what the controls say."""
        values = {control.name: control.value for control in self._controls}
        return replace(self._settings, **values)  # type: ignore[type-var]

    @value.setter
    def value(self, settings: Settings) -> None:
        self._settings = settings
        for control in self._controls:
            control.value = getattr(settings, control.name)
