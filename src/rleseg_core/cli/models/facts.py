"""What is said of a model file, and the options of the commands that write one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from rleseg_core.checkpoints import ModelInfo, count_parameters, model_facts, read_info
from rleseg_core.cli.console import print_json, print_line
from rleseg_core.cli.options import Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.values import parts_of
from rleseg_core.errors import CheckpointError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """How a checkpoint of the published implementation becomes a model file.

    Parameters
    ----------
    output : Path or None
        The model file to write.
    class_names : str or None
        Names of the foreground classes, such as ipsc,dfc, in the order of their ids from 1 on.
    bn_eval : {'auto', 'moving', 'batch'}
        What batch normalisation uses: moving averages, statistics of the batch, or whichever of
        them the published code uses.
    changes : sequence of str
        A value of config.json that is to differ, such as dataset.train.subsample=8.
    """

    output: Annotated[
        Path | None, Parameter(name=("--out", "-o"), show_default="an installed model")
    ] = None
    class_names: Annotated[
        str | None, Parameter(metavar="LIST", show_default="those of the published data")
    ] = None
    bn_eval: Literal["auto", "moving", "batch"] = "auto"
    changes: Annotated[tuple[str, ...], Parameter(name="--set", metavar="NAME=VALUE")] = ()
    overwriting: Overwriting = Overwriting()

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the classes; None for those of the published data."""
        return None if self.class_names is None else tuple(parts_of(self.class_names))

    @property
    def config_values(self) -> dict[str, object]:
        """Values by dotted name; JSON where it is that, else text.

        Raises
        ------
        CheckpointError
            If a change is not NAME=VALUE.
        """
        values: dict[str, object] = {}
        for text in self.changes:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise CheckpointError(
                    f"--set takes NAME=VALUE, as model.vocab_size=8000; got {text!r}"
                )
            try:
                values[name] = json.loads(value)
            except ValueError:
                values[name] = value
        return values


def facts_of(info: ModelInfo) -> dict[str, object]:
    """What people should know of a model, by name."""
    size = info.path.stat().st_size
    more = {"parameters": count_parameters(info.path), "megabytes": round(size / 1e6, 1)}
    return model_facts(info) | more


def print_written(path: Path, reporting: Reporting) -> None:
    """Say which model was written."""
    facts = facts_of(read_info(path))
    if reporting.as_json:
        print_json(facts)
        return
    if reporting.quiet:
        return
    keys = ("scheme_name", "classes", "mask", "patch", "frames", "vocabulary", "steps")
    about = ", ".join(f"{key.partition('_')[0]} {text_of(facts[key])}" for key in keys)
    print_line(f"written: {path} ({about})")
    card = facts["card"]
    if isinstance(card, dict) and card.get("note"):
        print_line(str(card["note"]))


def in_millions(value: object) -> str:
    """A number of parameters for people."""
    return f"{value / 1e6:.2f} M" if isinstance(value, int) else ""


def text_of(value: object) -> str:
    """A fact for people."""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:,}" if isinstance(value, int) else str(value)
