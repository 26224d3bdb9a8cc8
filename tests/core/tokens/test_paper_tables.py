"""The paper's vocabulary sizes, Tables 7 to 9, cell by cell.

`paper_tables.csv` holds every number that can be read there, as printed; `row` counts the lines of
a table, and C tells the binary half of a line from the multi-class half. Table 10 (S = 160) and the
end of Table 7 (from N = 9, LTAC on) are lost.
"""

import csv
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, for_classes, preset

LIMIT = 10**15


class Line(NamedTuple):
    table: int
    row: int
    n_classes: int
    n_frames: int
    side: int
    encoding: str


# LAC and LTAC have no lengths apart from the class: 40 stands for LAC as for 3D-C above it, and for
# LTAC the class tokens of the binary half
MISPRINTED_LENGTHS = {(7, row, 2, "lengths"): Decimal(0) for row in range(2, 23, 2)}
# (table, row, C, column): what should stand there
MISPRINTS = MISPRINTED_LENGTHS | {
    (8, 2, 2, "classes"): Decimal(160),  # N = 2, LAC: printed 8
    (8, 2, 2, "V_thousands"): Decimal("12.96"),  # printed 16.12
    (8, 9, 2, "classes"): Decimal(2),  # N = 4, 3D-C: printed 160
    (8, 30, 2, "classes"): Decimal(160),  # N = 12, LAC: printed 256
    (8, 35, 2, "V_thousands"): Decimal("4789.448"),  # N = 14, TAC: printed 4789.5, rounded twice
    (9, 16, 2, "classes"): Decimal(93184),  # N = 6, LTAC: printed 9184
    (9, 27, 1, "classes"): Decimal(4095),  # N = 12, TAC: printed 6383
    (9, 27, 1, "V_thousands"): Decimal("20.607"),  # printed 32.9, which is N = 14
    (9, 32, 2, "V_thousands"): Decimal("612236.288"),  # N = 14, LTAC: printed 61236
}
BLANK = {(7, 3, 1, "V_thousands"): Decimal("1.643")}  # N = 2, TAC: nothing printed


@pytest.fixture(scope="module")
def printed() -> dict[Line, dict[str, str]]:
    """The printed numbers of each line, by column."""
    lines: dict[Line, dict[str, str]] = {}
    with (Path(__file__).parents[1] / "paper_tables.csv").open(newline="") as file:
        for cell in csv.DictReader(file):
            numbers = (int(cell[key]) for key in ("table", "row", "C", "N", "S"))
            columns = lines.setdefault(Line(*numbers, cell["encoding"]), {})
            assert cell["column"] not in columns
            columns[cell["column"]] = cell["printed"]
    return lines


def vocabulary(line: Line) -> dict[str, Decimal]:
    """The columns of a line, from the tokenizer it is about."""
    names = ("ipsc", "dfc")[: line.n_classes]
    spec = MaskSpec(size=(line.side, line.side), class_names=names, n_frames=line.n_frames)
    scheme = for_classes(preset(line.encoding.lower()), line.n_classes)
    segments = Tokenizer.build(scheme, spec, vocab_limit=LIMIT).vocab.segments
    sizes = {segment.name: segment.size for segment in segments}
    del sizes["special"]
    starts, lengths = sizes.pop("start", 0), sizes.pop("length", 0)
    (classes,) = sizes.values() or [0]
    return {
        "starts": Decimal(starts),
        "lengths": Decimal(lengths),
        "classes": Decimal(classes),
        "V_thousands": Decimal(starts + lengths + classes) / 1000,
    }


def matches(exact: Decimal, number: str) -> bool:
    """Whether `exact`, rounded to the last digit of a printed number, is that number.

    Halves go up. The last digit of 4.3E+07 is its 3, a million.
    """
    shown = Decimal(number)
    return exact.quantize(Decimal((0, (1,), shown.as_tuple().exponent)), ROUND_HALF_UP) == shown


@pytest.mark.parametrize(
    ("exact", "number"),
    [("32.896", "32.9"), ("42515200", "4.3E+07"), ("4789.45", "4789.5"), ("3443743.968", "3E+06")],
)
def test_number_matches_what_it_rounds_to(exact: str, number: str) -> None:
    assert matches(Decimal(exact), number)
    assert not matches(Decimal(exact) * Decimal("1.5"), number)


def test_every_printed_number_but_the_misprints_is_the_vocabulary(
    printed: dict[Line, dict[str, str]],
) -> None:
    n_cells, wrong, missing = 0, {}, {}
    for line, columns in printed.items():
        for column, exact in vocabulary(line).items():
            cell = (line.table, line.row, line.n_classes, column)
            if column not in columns:
                if exact:
                    missing[cell] = exact
                continue
            n_cells += 1
            if not matches(exact, columns[column]):
                wrong[cell] = exact
    assert wrong == MISPRINTS
    assert missing == BLANK
    assert (len(printed), n_cells, len(MISPRINTS)) == (198, 679, 20)


def test_no_line_of_the_tables_is_left_out(printed: dict[Line, dict[str, str]]) -> None:
    frames = {
        7: (2, 3, 4, 6, 8, 9),
        8: (2, 3, 4, 6, 8, 9, 10, 12, 14, 16),
        9: (2, 3, 4, 6, 8, 9, 12, 14, 16),
    }
    encodings = {1: ("3D-C", "3D-F", "TAC", "LTAC"), 2: ("3D-C", "LAC", "TAC", "LTAC")}
    expected = {
        Line(table, 4 * k + j + 1, n_classes, n_frames, side, encoding)
        for table, side in ((7, 40), (8, 80), (9, 128))
        for k, n_frames in enumerate(frames[table])
        for n_classes in (1, 2)
        for j, encoding in enumerate(encodings[n_classes])
    }
    lost = {line for line in expected if line.table == 7 and line.row == 24}
    assert printed.keys() == expected - lost
