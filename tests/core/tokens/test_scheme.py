import json

import pytest

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, Scheme, Tokenizer, check, preset

TWO = MaskSpec(size=(8, 8), class_names=("ipsc", "dfc"))
ONE = MaskSpec(size=(8, 8), class_names=("cell",))


@pytest.mark.parametrize("name", PRESETS)
def test_scheme_survives_json(name):
    scheme = preset(name, order="F", start="coords", max_length=5)
    assert Scheme.from_json(json.loads(json.dumps(scheme.to_json()))) == scheme


def test_unknown_choice_in_json_is_refused():
    with pytest.raises(SchemeError, match="no colour"):
        Scheme.from_json({"order": "C", "colour": "red"})


def test_unknown_preset_lists_the_presets():
    with pytest.raises(SchemeError, match="'lacc'; choose binary, multiclass or lac"):
        preset("lacc")


def test_preset_refuses_a_choice_that_schemes_do_not_have():
    with pytest.raises(SchemeError, match="no colour"):
        preset("lac", colour="red")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "Z"}, r"order='Z' is not available; use order='C' or order='F'"),
        ({"time": "class"}, r"time='class' is not available; use time='volume'"),
        ({"runs": "tiling"}, r"runs='tiling' is not available; use runs='foreground'"),
        ({"runs": "change"}, r"runs='change' is not available"),
        ({"start": None}, r"start=None is not available; use start='flat' or start='coords'"),
        ({"blocks": "class"}, r"blocks='class' is not available; use blocks=None"),
        ({"blocks": "instance"}, r"blocks='instance' is not available"),
        ({"heads": "per_field"}, r"heads='per_field' is not available; use heads='one'"),
        ({"max_length": 0}, r"max_length=0 must lie between 1 and the 64 pixels"),
        ({"max_length": 65}, r"max_length=65 must lie between 1 and the 64 pixels"),
        ({"symbol": None}, r"symbol=None cannot tell 2 classes apart; use symbol='length'"),
    ],
)
def test_choice_that_does_not_work_is_named_with_what_does(changes, message):
    with pytest.raises(SchemeError, match=message):
        check(preset("lac", **changes), TWO)


@pytest.mark.parametrize("name", ["lac", "multiclass"])
def test_symbol_of_a_single_class_is_refused(name):
    with pytest.raises(SchemeError, match=r"only class, 'cell'.*use symbol=None"):
        check(PRESETS[name], ONE)


def test_several_frames_are_refused():
    with pytest.raises(SchemeError, match="3 frames are not available; use n_frames=1"):
        check(PRESETS["binary"], MaskSpec(size=(8, 8), class_names=("cell",), n_frames=3))


@pytest.mark.parametrize(
    ("scheme", "limit", "message"),
    [
        (
            preset("lac"),
            80,
            r"83 tokens, over the limit of 80.*start, takes 64; use start='coords'",
        ),
        (preset("lac", start="coords"), 20, r"largest segment, lac, takes 16; use symbol='token'"),
        (
            preset("multiclass", start="coords", max_length=60),
            70,
            r"length, takes 60; use a smaller max_length",
        ),
    ],
)
def test_vocabulary_over_the_limit_names_the_largest_segment(scheme, limit, message):
    with pytest.raises(SchemeError, match=message):
        Tokenizer.build(scheme, TWO, vocab_limit=limit)
