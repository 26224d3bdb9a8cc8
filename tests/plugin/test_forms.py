from dataclasses import dataclass

import pytest

from napari_rleseg.forms import Form

pytestmark = pytest.mark.gui


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How something is done.

    Parameters
    ----------
    steps : int
        How often,
        in all.
    rate, share : float
        How fast.
    name : str
        Not described further.
    """

    steps: int = 3
    rate: float = 0.5
    share: float = 0.25
    name: str = "a"


def test_form_gives_a_new_dataclass_and_keeps_what_it_does_not_show(qtbot):
    options = {"steps": {"max": 10}, "rate": {"step": 0.001}}  # as many decimals as the step
    form = Form(Settings(name="kept"), ("steps", "rate"), options=options)
    qtbot.addWidget(form)
    assert form.value == Settings(name="kept")
    form.value = Settings(steps=7, rate=0.125, name="other")
    assert form.value == Settings(steps=7, rate=0.125, name="other")


def test_tooltips_are_those_of_the_docstring(qtbot):
    form = Form(Settings(), ("steps", "share"))
    qtbot.addWidget(form)
    assert [control.tooltip for control in form._controls] == ["How often, in all.", "How fast."]


def test_form_needs_a_dataclass(qtbot):
    with pytest.raises(TypeError, match="needs a dataclass"):
        Form(3, ())
