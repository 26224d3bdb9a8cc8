import json

import pytest

from rleseg_core.errors import SchemeError
from rleseg_core.model import SIZES, ModelConfig, model_config
from rleseg_core.spec import StartGrid

NUMBERS = {"vocab_size": 100, "max_tokens": 16, "image_size": 64}
GRID = StartGrid(offset=3, rows=4, cols=4, order="F")


@pytest.mark.parametrize("size", SIZES)
def test_json_round_trip(size: str) -> None:
    config = model_config(size, **NUMBERS, grid=GRID, ordinal_ranges=((19, 8), (27, 8)))
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_own_sizes_point_where_they_can_and_the_paper_does_not() -> None:
    assert model_config("nano", **NUMBERS, grid=GRID).pointer.starts == "first_hit"
    assert model_config("nano", **NUMBERS, grid=GRID, starts="codes").pointer.ends == "table"
    assert model_config("nano", **NUMBERS).pointer.starts == "table"
    assert model_config("paper", **NUMBERS, grid=GRID).pointer.starts == "table"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": "pointer"}, r"need a grid that says where the tokens of runs are"),
        ({"grid": StartGrid(offset=90, rows=4, cols=4)}, "90 to 105, outside the vocabulary"),
        (
            {"ordinal_ranges": ((95, 6),)},
            "ordinal range takes the ids 95 to 100, outside the vocabulary of 100",
        ),
        ({"decoder_dim": 30}, r"decoder\.dim must be a multiple of 4 and of decoder\.n_heads"),
        ({"encoder_n_heads": 5}, "got 16 and 5"),
        (
            {"encoder.mlp_dim": 0},
            r"encoder\.mlp_dim must be a whole number from 1 to 16,384, got 0",
        ),
        ({"decoder.n_layers": 0}, r"decoder\.n_layers must be at least 1, got 0"),
        ({"mask_dim": 0}, r"pointer\.mask_dim must be a whole number from 1"),
        ({"ends": "first_hit"}, "need the image at mask resolution"),
        ({"starts": "scan", "grid": GRID}, "starts must be 'table', 'codes', .*, got 'scan'"),
        ({"backbone_kind": "vgg"}, "kind must be 'bottleneck', .*, got 'vgg'"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to below 1, got 1.0"),
        ({"dropout": float("nan")}, "dropout must be a finite number, got nan"),
        ({"backbone_widths": (8, 8)}, "3 or 4 stages"),
        ({"vocab_size": 0}, "from 1 to 16,777,216, got 0"),
        ({"vocab_size": True}, "vocab_size must be a whole number, got True"),
        ({"depth": 3}, "no such setting.*depth"),
        ({"dim": 32}, r"several settings of a model are called 'dim': encoder\.dim, decoder\.dim"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        model_config("test", **(NUMBERS | changes))  # type: ignore[arg-type]


def test_unknown_size_is_refused() -> None:
    with pytest.raises(SchemeError, match="no model size 'huge', only paper, resnet-c"):
        model_config("huge", **NUMBERS)


@pytest.mark.parametrize("name", ["encoder.mlp_dim", "encoder_mlp_dim"])
def test_changes_take_dotted_and_plain_names(name: str) -> None:
    config = model_config("test", **NUMBERS)  # type: ignore[arg-type]
    changed = config.with_changes(**{name: 48}, n_frames=3, fusion="late", drop_path=0.2)
    assert (changed.encoder.mlp_dim, changed.frames.n_maps, changed.drop_path) == (48, 3, 0.2)
    assert changed.with_changes(**{name: 32}, n_frames=1, fusion=None, drop_path=0.0) == config


def test_settings_of_another_version_are_refused() -> None:
    values = model_config("test", **NUMBERS).to_json() | {"flavour": "sweet"}
    with pytest.raises(
        SchemeError, match="no setting 'flavour'; a newer version may have written it"
    ):
        ModelConfig.from_json(values)
