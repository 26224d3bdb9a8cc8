"""Every setting says what it is: forms and command lines show the sentence of its docstring."""

import inspect
import re
from dataclasses import fields

import pytest

from rleseg_core.training import FineTuneOptions, Recipe, StepReport, TrainConfig, TrainingData


@pytest.mark.parametrize(
    "settings", [TrainConfig, TrainingData, FineTuneOptions, Recipe, StepReport]
)
def test_each_field_has_a_sentence_of_its_own(settings):
    parameters = inspect.getdoc(settings).split("Raises\n------")[0]
    said = dict(re.findall(r"^(\w+) : .*\n((?: {4}.*\n?)+)", parameters, re.MULTILINE))
    assert list(said) == [field.name for field in fields(settings)]
    for name, text in said.items():
        assert text.strip().endswith("."), name
        assert text.strip()[0].isupper() or text.strip().startswith("I,"), name
        assert len(text.split()) >= 5, name
        assert not text.strip().startswith(("Of ", "As ")), name
