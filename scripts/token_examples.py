"""The masks of docs/tokenization.md, and their tokens as chips to draw or to list."""

import re
from dataclasses import dataclass

import numpy as np

from rleseg_core.drawing.palette import class_rgb
from rleseg_core.drawing.style import INK
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import (
    BlockClosed,
    Counts,
    MaskEnded,
    PublishedLayout,
    RunPainted,
    Scheme,
    Tokenizer,
    Vocabulary,
    preset,
)
from rleseg_core.tokens.fields import CoordStart, Delta, Field, FlatStart, Length

Colour = tuple[int, int, int]
WHITE, RULE, EDGE = (255, 255, 255), (222, 224, 228), (120, 126, 138)
START, FRAME, LENGTH, CHANGE = (214, 220, 230), (193, 202, 217), (170, 220, 204), (235, 201, 220)
GONE = (247, 220, 214)
OBJECT = (186, 190, 199)  # in a block, whose class is said when it closes
SEGMENTS = {"start": START, "coord": START, "frame": FRAME, "length": LENGTH, "change": CHANGE}

NAMES = ("ipsc", "dfc")
IMAGE = """
................
..aaa...........
.aaaaa........bb
aaaaaa.......bbb
.aaaa.........bb
..aacc..........
...ccccccc......
..cccccccccc....
....ccccc.......
................
"""
FILM = """
............ ............ ............
.aaa........ .aaa........ ..aaa.......
aaaaa...bb.. aaaaa...bb.. .aaaaa......
aaaaa...bb.. aaaaa...bb.. .aaaaa......
.aaa........ .aaa........ ..aaccc.....
......cc.... ......cc.... ....cccc....
.....cccc... .....cccc... .....cc.....
............ ............ ............
"""


@dataclass(frozen=True, eq=False)
class Example:
    """A mask (N, rows, cols) with class and instance ids."""

    classes: np.ndarray
    instances: np.ndarray
    names: tuple[str, ...] = NAMES

    @property
    def spec(self) -> MaskSpec:
        n_frames, *size = self.classes.shape
        return MaskSpec(size=(size[0], size[1]), class_names=self.names, n_frames=n_frames)

    def binary(self) -> "Example":
        """All classes as one."""
        return Example((self.classes > 0).astype(np.uint8), self.instances, ("cell",))

    def tokenizer(self, scheme: Scheme | str, layout: PublishedLayout | None = None) -> Tokenizer:
        scheme = preset(scheme) if isinstance(scheme, str) else scheme
        return Tokenizer.build(scheme, self.spec, layout=layout)


def parse(drawing: str) -> Example:
    """Letters as instances: a and b of the first class, c of the second."""
    rows = [line.split() for line in drawing.split("\n") if line]
    ids = np.array([[[".abc".index(c) for c in part] for part in row] for row in rows], np.uint8)
    ids = np.ascontiguousarray(ids.swapaxes(0, 1))  # (N, rows, cols)
    return Example(np.array([0, 1, 1, 2], np.uint8)[ids], ids)


STILL, VIDEO = parse(IMAGE), parse(FILM)


@dataclass(frozen=True)
class Chip:
    """A token as it is drawn."""

    token: int
    text: str
    bands: tuple[Colour, ...]
    column: int  # chips of a column are of one width


@dataclass(frozen=True)
class Group:
    """The tokens of one event."""

    event: RunPainted | BlockClosed | MaskEnded
    chips: tuple[Chip, ...]
    block: int


def label_colour(label: int) -> Colour:
    return class_rgb(label) if label else WHITE


def instance_colour(instance: int) -> Colour:
    return class_rgb(instance + 2) if instance else WHITE


def bands_of(tokenizer: Tokenizer, field: Field, value: int) -> tuple[Colour, ...]:
    """What a token says in colours, from left to right."""
    if isinstance(field, FlatStart):
        return (START,)
    if isinstance(field, CoordStart):
        return (FRAME if field.axis.name == "frame" else START,)
    if isinstance(field, Length):
        return (LENGTH,)
    if isinstance(field, Delta):
        return (CHANGE,)
    said = field.read(np.array([value]))
    labels = tokenizer.flattening.labels_of(int(said.symbol[0]))
    if tokenizer.blocks is not None:
        colours = [OBJECT if label else WHITE for label in labels]
    else:
        colours = [label_colour(label) for label in labels]
    return (*[LENGTH] * (len(labels) if said.length[0] else 0), *colours)


def shortened(text: str) -> str:
    """What a token says, to fit on a chip."""
    text = text.replace(" -", " −")
    text = re.sub(r"^start \d+ · ", "", text)
    text = re.sub(r"frame (\d+), ", r"f\1 ", text)
    text = re.sub(r"row (\d+), col (\d+)", r"r\1 c\2", text)
    text = text.replace("background", "bkg").replace("object", "obj")
    text = re.sub(r"^length (\d+) · ", r"\1 ", text).replace("length", "len")
    return re.sub(r"^(class|tac|obj|change) ", "", text)


def grouped(tokenizer: Tokenizer, tokens: np.ndarray) -> list[Group]:
    """The tokens of a mask by run, block and end."""
    vocab, groups, block = tokenizer.vocab, [], 0
    for event in tokenizer.events(tokens.T.tolist()):
        chips: list[Chip] = []
        if isinstance(event, RunPainted):
            for column, (token, (field, offset)) in enumerate(
                zip(event.tokens, tokenizer.columns, strict=True)
            ):
                bands = bands_of(tokenizer, field, token - offset)
                text = shortened(field.text(token - offset))
                chips.append(Chip(token, text, bands, column))
        elif isinstance(event, BlockClosed):
            (text,) = tokenizer.texts(event)
            colour = label_colour(event.label)
            chips.append(Chip(event.tokens[0], shortened(text), (colour,), -2))
        else:
            chips.append(Chip(vocab.eos, "end", (INK,), -1))
        groups.append(Group(event, tuple(chips), block))
        block += isinstance(event, BlockClosed)
    return groups


def counted(counts: Counts, vocab: Vocabulary) -> str:
    return f"{counts.n_runs} runs, {counts.n_tokens} tokens, V = {vocab.size:,}"


def coordinates(tokenizer: Tokenizer, event: RunPainted) -> list[tuple[int, int]]:
    """Rows and columns that a run goes through."""
    _, rows, cols = tokenizer.run_pixels(event)
    return list(zip(rows[: event.length].tolist(), cols[: event.length].tolist(), strict=True))


def painted(tokenizer: Tokenizer, tokens: np.ndarray) -> list[RunPainted]:
    return [e for e in tokenizer.events(tokens.T.tolist()) if isinstance(e, RunPainted)]


def runs_of(tokenizer: Tokenizer, example: Example) -> list[RunPainted]:
    return painted(tokenizer, tokenizer.encode(example.classes, example.instances))


def groups_of(tokenizer: Tokenizer, example: Example) -> list[Group]:
    return grouped(tokenizer, tokenizer.encode(example.classes, example.instances))
