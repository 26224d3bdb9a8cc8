"""What the numbers in a mask mean: one strict reading of ids, decided once for a whole source."""

from rleseg_core.data.ids.choices import IdChoice, choices
from rleseg_core.data.ids.counting import count_values, whole_numbers
from rleseg_core.data.ids.guess import guess_rules
from rleseg_core.data.ids.mapping import MOST_CLASSES, IdMapping
from rleseg_core.data.ids.names import ids_by_name, names_in_order
from rleseg_core.data.ids.reader import IdReader, number_of_classes
from rleseg_core.data.ids.rules import IdOptions, IdRules, decide
from rleseg_core.spec import IGNORED

__all__ = [
    "IGNORED",
    "MOST_CLASSES",
    "IdChoice",
    "IdMapping",
    "IdOptions",
    "IdReader",
    "IdRules",
    "choices",
    "count_values",
    "decide",
    "guess_rules",
    "ids_by_name",
    "names_in_order",
    "number_of_classes",
    "whole_numbers",
]
