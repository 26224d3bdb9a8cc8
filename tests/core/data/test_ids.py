import numpy as np
import pytest

from rleseg_core.data import IGNORED, IdOptions
from rleseg_core.data.ids import (
    IdReader,
    IdRules,
    count_values,
    decide,
    ids_by_name,
    names_in_order,
    whole_numbers,
)
from rleseg_core.errors import DataError

LOSSY = [*[0] * 50, 1, 1, 2, 3, *[126, 127, 128] * 9, 129, *[253, 254, 255, 255] * 7]


def names(n_classes):
    return tuple("abcdefgh"[:n_classes])


def mapping(values, n_classes, dtype=np.int64, **rules):
    labels = np.array(values, dtype)
    given = IdRules(class_names=names(n_classes), **rules)
    return decide(count_values(labels), given, labels.dtype)


def classes(values, n_classes, dtype=np.int64, **rules):
    return mapping(values, n_classes, dtype, **rules).class_ids(np.array(values, dtype)).tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint64])
@pytest.mark.parametrize(
    ("values", "n_classes", "expected"),
    [
        ([0, 1, 2], 2, [0, 1, 2]),
        ([0, 1, 1], 3, [0, 1, 1]),
        ([0, 255, 255], 1, [0, 1, 1]),
        ([0, 128, 255], 2, [0, 1, 2]),
        ([0, 127, 255], 2, [0, 1, 2]),
        ([0, 128, 128], 2, [0, 1, 1]),
        (LOSSY, 2, [0 if v < 64 else 1 if v < 192 else 2 for v in LOSSY]),
        ([0] * 20 + [128] * 9 + [255] * 9 + [63, 191], 2, [0] * 20 + [1] * 9 + [2] * 9 + [0, 1]),
    ],
)
def test_ids_and_grey_levels_stand_for_classes(values, n_classes, expected, dtype):
    assert classes(values, n_classes, dtype) == expected


@pytest.mark.parametrize(
    ("values", "n_classes", "advice"),
    [
        ([0, 1, 255], 1, "--ignore 255"),
        ([0, 1, 2, 255], 2, "--ignore 255"),
        ([0, 1, 65535], 1, "--ignore 65535"),
        ([0, *range(1, 9), 255], 8, "--ignore 255"),
        ([-1, 0, 1], 1, "--ignore -1"),
        ([-1, 1], 1, "--background -1"),
        ([-1, 0], 1, "--background -1"),
        ([1, 2], 1, "--background 1"),
        ([0, 1, 2, 3], 2, "name all 3 classes"),
        ([0, 5, 9], 2, "--instances"),
        (range(105), 1, "grey levels"),
        (range(1000), 1, "--instances"),
        ([0, 255], 3, "ids from 0 to 3 only"),
        ([0, 2, 255], 1, "ids from 0 to 1 only"),
    ],
)
def test_what_cannot_be_told_is_refused_with_advice(values, n_classes, advice):
    with pytest.raises(
        DataError, match=f"holds the ids .*there (is|are) {n_classes} class"
    ) as told:
        mapping(list(values), n_classes)
    assert advice in str(told.value)


@pytest.mark.parametrize(
    ("values", "n_classes", "options", "expected"),
    [
        ([0, 1, 255], 1, IdOptions(ignore=(255,)), [0, 1, IGNORED]),
        ([0, 1, 2, 255, -1], 2, IdOptions(ignore=(255, -1)), [0, 1, 2, IGNORED, IGNORED]),
        ([-1, 0, 1], 1, IdOptions(ignore=(-1,)), [IGNORED, 0, 1]),
        ([-1, 1], 1, IdOptions(background=-1), [0, 1]),
        ([-1, 0], 1, IdOptions(background=-1), [0, 1]),
        ([-1, 0, 1], 2, IdOptions(background=-1), [0, 1, 2]),
        ([1, 2], 1, IdOptions(background=1), [0, 1]),
        ([0, 128, 255], 1, IdOptions(ignore=(128,)), [0, IGNORED, 1]),
    ],
)
def test_what_the_advice_says_can_be_done(values, n_classes, options, expected):
    assert classes(values, n_classes, options=options) == expected


def test_the_mapping_is_put_into_words():
    assert mapping([0, 255], 1).text == "0 → background, 255 → a"
    assert mapping(LOSSY, 2).text.endswith("background, 64 to 191 → a, 192 to 255 → b")
    assert mapping([0, 1, 2], 2).text == "0 → background, 1 → a, 2 → b"
    ignoring = mapping([0, 1, 255], 1, options=IdOptions(ignore=(255,)))
    assert ignoring.text == "0 → background, 1 → a, 255 → ignored"
    assert not ignoring.is_plain
    assert mapping([0, 3, 9], 1, objects=True).text == "0 → background, 2 ids → objects of a"


def test_unusual_masks_are_warned_of():
    assert mapping([0, 1], 1).warnings == ()
    (sentence,) = mapping([1, 2], 2).warnings
    assert "no pixel is background" in sentence
    assert mapping([0, 2], 3).warnings == ("a and c never occur",)
    assert "no pixel is background" in mapping([1, 2, 3], 1, objects=True).warnings[0]


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ([-1, 1, 2], "--background -1"),
        ([1, 1, 1, 2], "--background 1"),
        ([4, 4], "--background 4"),
        ([0, 1, 2, 255], "--ignore none"),
        ([0, 1, 2, 3, 65535], "--ignore 65535"),
    ],
)
def test_objects_that_cannot_be_told_are_refused_with_advice(values, advice):
    with pytest.raises(DataError, match="the id") as told:
        mapping(values, 1, objects=True)
    assert advice in str(told.value)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([0, 3, 900], IdOptions(), [0, 3, 900]),
        ([0, 1, 2, 255], IdOptions(ignore=()), [0, 1, 2, 255]),
        ([0, 1, 2, 255], IdOptions(ignore=(255,)), [0, 1, 2, 0]),
        ([-1, 0, 5], IdOptions(background=-1), [0, 1, 6]),
        ([1, 2, 3], IdOptions(background=1), [0, 2, 3]),
    ],
)
def test_objects_keep_their_ids_where_they_can(values, options, expected):
    read = mapping(values, 1, objects=True, options=options)
    assert read.object_ids(np.array(values)).tolist() == expected


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 7, 7 + (1 << 32)], np.int64),
        ([0, 7, 7 + (1 << 32)], np.uint64),
        ([0, 5, (1 << 63) + 5, (1 << 64) - 2], np.uint64),
        ([0, 3, (1 << 31) + 3], np.uint32),
    ],
)
def test_ids_of_any_size_stay_apart(values, dtype):
    read = mapping(values, 1, dtype, objects=True)
    ids = read.object_ids(np.array(values, dtype))
    assert ids.dtype == np.int32
    assert len(set(ids.tolist())) == len(values)
    assert ids[0] == 0


def test_a_large_class_id_does_not_wrap_around():
    for value in (256, 257, 1 << 32, (1 << 64) - 1):
        with pytest.raises(DataError, match="holds the ids"):
            mapping([0, 1, value], 2, np.uint64)


def test_one_frame_does_not_decide_for_another():
    stack = np.array([[[0, 1, 1]], [[0, 255, 255]]], np.uint8)
    reader = IdReader(stack, IdRules(class_names=("a",)), "m.tif")
    with pytest.raises(DataError, match=r"m.tif holds the ids 0, 1 and 255.*--ignore 255"):
        reader.class_frame(0)
    levels = IdReader(np.array([[[0, 0]], [[0, 255]]], np.uint8), IdRules(class_names=("a",)))
    assert [levels.class_frame(t).tolist() for t in (0, 1)] == [[[0, 0]], [[0, 1]]]


def test_all_frames_are_read_once_and_reported():
    stack = np.zeros((3, 2, 2), np.uint8)
    stack[2] = 1
    reader = IdReader(stack, IdRules(class_names=("a",)))
    assert list(reader.decide()) == [1, 2, 3]
    stack[:] = 77  # not looked at again
    assert reader.mapping.text == "0 → background, 1 → a"
    assert list(reader.decide()) == []


def test_a_number_that_the_other_frames_lack_is_refused():
    reader = IdReader(np.array([[[0, 1]], [[0, 9]]]), IdRules(class_names=("a",)), "m", [0])
    with pytest.raises(DataError, match="m, frame 1: the mask holds the id 9"):
        reader.class_frame(1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_whole_floats_are_ids(dtype):
    ids = whole_numbers(np.array([0, 1, 2], dtype))
    assert ids.dtype == np.int64
    assert ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e30, -0.25])
def test_other_floats_are_refused(value):
    with pytest.raises(DataError, match=r"m holds .*needs whole numbers"):
        whole_numbers(np.array([0, value]), "m")


def test_bool_masks_are_read():
    stack = np.array([[[False, True]]])
    assert IdReader(stack, IdRules(class_names=("a",))).class_frame(0).tolist() == [[0, 1]]


def test_classes_are_matched_by_name():
    assert ids_by_name((), ("a", "b")) == {1: 1, 2: 2}
    assert ids_by_name(("b", "a"), ("a", "b")) == {1: 2, 2: 1}
    assert ids_by_name(("b",), ("a", "b")) == {1: 2}
    assert classes([0, 1, 2], 2, noted=("b", "a")) == [0, 2, 1]
    assert classes([0, 128, 255], 2, noted=("b", "a")) == [0, 2, 1]
    assert classes([0, 1], 1, noted=("a", "x")) == [0, 1]


@pytest.mark.parametrize("noted", [("x",), ("a", "x"), ("B", "A"), ("a ", "b")])
def test_other_names_are_refused(noted):
    with pytest.raises(DataError, match=f"notes the classes .*--classes {noted[0]}"):
        ids_by_name(noted, ("a", "b"))


def test_a_refusal_names_the_mask_once():
    reader = IdReader(np.zeros((1, 2, 2)), IdRules(class_names=("a",), noted=("b",)), "m.tif")
    with pytest.raises(DataError, match=r"^m\.tif notes the classes b, but a is wanted"):
        reader.class_frame(0)


def test_a_class_that_is_not_wanted_is_refused_where_it_occurs():
    with pytest.raises(DataError, match=r"shows the class b, .*--classes a,b"):
        mapping([0, 1, 2], 1, noted=("a", "b"))
    assert mapping([0, 1], 1, noted=("a", "b")).text == "0 → background, 1 → a"


def test_models_and_masks_agree_on_names():
    assert names_in_order(("a", "b"), ("b", "a"), "m") == ("a", "b")
    assert names_in_order(("a", "b"), ("x",), "m") == ("x",)
    for other in (("a",), ("a", "x"), ("A", "B"), ("a", "b", "c")):
        with pytest.raises(DataError, match="name the same"):
            names_in_order(("a", "b"), other, "m")


def test_too_many_classes_are_refused():
    with pytest.raises(DataError, match="up to 254 classes"):
        IdRules(class_names=tuple(map(str, range(255))))


def test_nothing_but_ignored_pixels_is_refused():
    with pytest.raises(DataError, match="holds no pixel that counts"):
        mapping([255, 255], 1, options=IdOptions(ignore=(255,)))


def test_the_background_cannot_be_ignored():
    with pytest.raises(DataError, match="both the background and to be ignored"):
        IdOptions(ignore=(0,))
