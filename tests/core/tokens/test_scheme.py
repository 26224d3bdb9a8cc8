import json

import pytest

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, Scheme, Tokenizer, check, preset

TWO = MaskSpec(size=(8, 8), class_names=("ipsc", "dfc"))
ONE = MaskSpec(size=(8, 8), class_names=("cell",))


@pytest.mark.parametrize("name", PRESETS)
def test_scheme_survives_json(name):
    scheme = preset(name, order="F", max_length=5)
    assert Scheme.from_json(json.loads(json.dumps(scheme.to_json()))) == scheme


def test_unknown_choice_in_json_is_refused():
    with pytest.raises(SchemeError, match="no setting 'colour'"):
        Scheme.from_json({"order": "C", "colour": "red"})


def test_unknown_preset_lists_the_presets():
    with pytest.raises(SchemeError, match=r"'lacc'; choose binary, multiclass, lac, .* or"):
        preset("lacc")


def test_preset_refuses_a_choice_that_schemes_do_not_have():
    with pytest.raises(SchemeError, match="no colour"):
        preset("lac", colour="red")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "Z"}, r"no order='Z'; use order='C'(,| or) order='F'"),
        ({"time": "class"}, r"time='class' .* the masks have 1; use time='volume' or n_frames=2"),
        ({"runs": "tiling"}, r"start='flat' would be written in vain.*; use start=None or"),
        ({"runs": "change"}, r"a change has no length to fuse; use symbol='token'"),
        ({"runs": "change", "symbol": None}, r"must say what changes; use symbol='token'"),
        ({"start": None}, r"cannot be placed with start=None; use start='flat', start='coords' or"),
        ({"blocks": "class"}, r"symbol='length' would say with every run .*use symbol=None or"),
        ({"runs": "tiling", "start": None, "symbol": None}, r"tell the background from the rest"),
        (
            {"blocks": "instance", "symbol": None, "heads": "per_field"},
            r"blocks='instance' need a token to close each block; use heads='one' or blocks=None",
        ),
        (
            {"runs": "tiling", "start": None, "heads": "per_field"},
            r"with symbol='length' have one; use heads='one' or symbol='token'",
        ),
        ({"runs": "change", "symbol": "token", "max_length": 3}, r"which have no lengths; use"),
        ({"lines": "separate", "max_length": 9}, r"1 and the 8 pixels of a line"),
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
