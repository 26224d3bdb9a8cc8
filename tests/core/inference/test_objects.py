import numpy as np
import pytest
import torch
import zarr
from scipy.ndimage import binary_erosion
from scipy.optimize import linear_sum_assignment
from yaozarrs import validate_zarr_store

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.cli.each import objects_found
from rleseg_core.data import (
    ImageStack,
    LabelReader,
    LabelStack,
    SyntheticConfig,
    subsample_labels,
    synthesize,
)
from rleseg_core.data.labels import components
from rleseg_core.data.writers import write_labels
from rleseg_core.decoding import DecodedSequence
from rleseg_core.errors import DataError, OutputError
from rleseg_core.inference import Segmenter, predict_to_file
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.opening import open_objects, table_beside
from rleseg_core.objects.paths import ResultPaths
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset

CLASSES = ("round", "long")


def tiny(folder, scheme, *, n_frames=1, patch=32, stride=24):
    info = new_model(
        folder / f"{scheme}.safetensors",
        size="test",
        scheme=preset(scheme),
        mask_spec=MaskSpec(size=(32, 32), class_names=CLASSES, n_frames=n_frames),
        window_spec=WindowSpec(patch=patch, patch_stride=stride, n_frames=n_frames),
        max_tokens=512,
        affinities=(),  # tokens alone are made up here, and dense heads would know of nothing
    )
    torch.manual_seed(1)
    return Segmenter(info, build_model(info), "cpu")


@pytest.fixture(scope="module")
def instances(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("model"), "iw")


@pytest.fixture(scope="module")
def semantic(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("model"), "multiclass")


def cells(n_frames=2, size=(70, 90), seed=0):
    """Ids of disks and bars that touch, and their classes."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[: size[0], : size[1]]
    ids = np.zeros((n_frames, *size), np.int32)
    for frame in ids:
        for number in range(1, 16):
            y, x = rng.integers(size[0]), rng.integers(size[1])
            disk = (row - y) ** 2 + (col - x) ** 2 < rng.integers(4, 10) ** 2
            bar = (abs(row - y) < 4) & (abs(col - x) < 25)
            frame[(bar if number % 4 == 0 else disk) & (frame == 0)] = number
    pieces = np.stack([components(frame) for frame in ids])
    lookup = np.zeros(pieces.max() + 1, np.int32)  # objects are connected
    lookup[pieces] = ids
    return pieces, np.where(pieces > 0, 1 + (lookup[pieces] % 4 == 0), 0).astype(np.uint8)


def teach(monkeypatch, segmenter, ids, classes, confidence=0.5):
    """Let the model say the truth, each token with the same probability; counts decoded windows."""
    spec = segmenter.info.window_spec
    size = segmenter.info.mask_spec.size
    readers = [LabelReader(array, spec) for array in (classes, ids)]
    decoded = []

    def decode(batches, *_):
        for windows in batches:
            for window in windows:
                masks = [subsample_labels(reader.read(window), size) for reader in readers]
                tokens = segmenter.tokenizer.encode(*masks)
                decoded.append(window)
                logprobs = np.full(tokens.shape, np.log(confidence), np.float32)
                yield DecodedSequence(len(decoded) - 1, tokens, logprobs, 0)

    monkeypatch.setattr(segmenter._source, "decode", decode)
    return decoded


def stack_of(ids, seed=1):
    noise = np.random.default_rng(seed).integers(1, 255, ids.shape, dtype=np.uint8)
    return ImageStack.from_array(noise)


def product(run):
    results = []
    while True:
        try:
            results.append(next(run))
        except StopIteration as end:
            return results, end.value


def same_partition(ids, truth):
    """Whether two frames have the same objects, whatever their numbers."""
    pairs = np.unique(np.stack([ids.ravel(), truth.ravel()]).astype(np.int64), axis=1)
    return all(np.unique(side).size == pairs.shape[1] for side in pairs)


def test_objects_come_out_whole_and_once(instances, monkeypatch):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    results, found = product(instances.segment(stack_of(ids)))
    for frame in range(2):
        assert same_partition(found.objects[frame], ids[frame])
    np.testing.assert_array_equal(found.classes, classes)
    assert found.objects.dtype == np.uint32
    n = [np.unique(frame[frame > 0]).size for frame in ids]
    assert found.table.id.tolist() == list(range(1, sum(n) + 1))
    assert found.table.frame.tolist() == [0] * n[0] + [1] * n[1]
    np.testing.assert_allclose(found.table.confidence, 0.5)
    assert set(found.table.state) == {"predicted"}
    expected = ObjectTable.of(found.objects, classes, CLASSES)
    for name in ("id", "class_id", "area", "top", "right", "touches_border"):
        np.testing.assert_array_equal(getattr(found.table, name), getattr(expected, name))
    assert sum(len(result.finished) for result in results) == sum(n)


def test_windows_show_ids_and_the_classes_of_these(instances, monkeypatch):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    shown = np.zeros(ids.shape, np.uint32)
    for result in instances.segment(stack_of(ids)):
        for frame, labels, objects in zip(
            result.frames, result.labels, result.objects, strict=True
        ):
            np.testing.assert_array_equal(labels > 0, objects > 0)
            np.testing.assert_array_equal(labels, classes[frame, result.rows, result.cols])
            shown[frame, result.rows, result.cols] = objects
    assert shown.any()


@pytest.mark.parametrize("stitch", ["centre", "last", "vote"])
def test_predict_gives_the_classes_of_segment(instances, semantic, monkeypatch, stitch):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    stack = stack_of(ids)
    for segmenter in (instances, semantic):
        _, found = product(segmenter.segment(stack, stitch=stitch))
        results, labels = product(segmenter.predict(stack, stitch=stitch))
        np.testing.assert_array_equal(labels, found.classes)
        assert all(len(result.finished) == 0 for result in results)


def test_pieces_of_a_semantic_model_are_its_objects(semantic, monkeypatch):
    ids, classes = cells()
    teach(monkeypatch, semantic, ids, classes)
    results, found = product(semantic.segment(stack_of(ids)))
    np.testing.assert_array_equal(found.classes, classes)
    for frame in range(2):
        assert same_partition(found.objects[frame], components(classes[frame]))
    assert found.table.id.tolist() == list(range(1, len(found.table) + 1))
    assert set(found.table.state) == {"pieces"}
    assert np.isnan(found.table.confidence).all()
    np.testing.assert_array_equal(found.table.class_map(found.objects), classes)
    assert not any(result.objects.any() for result in results)


def test_frames_of_a_window_are_joined_one_by_one(tmp_path, monkeypatch):
    ids, classes = cells(4)
    segmenter = tiny(tmp_path, "iw", n_frames=2)
    teach(monkeypatch, segmenter, ids, classes)
    _, found = product(segmenter.segment(stack_of(ids)))
    for frame in range(4):
        assert same_partition(found.objects[frame], ids[frame])
    assert found.table.id.tolist() == list(range(1, len(found.table) + 1))
    assert (np.diff(found.table.frame) >= 0).all()


@pytest.mark.parametrize("kind", ["instances", "semantic"])
def test_ids_of_other_frames_stay_and_new_ones_follow(request, kind, monkeypatch):
    segmenter = request.getfixturevalue(kind)
    ids, classes = cells(3)
    teach(monkeypatch, segmenter, ids, classes)
    objects = np.zeros(ids.shape, np.uint32)
    objects[0, :5, :5], objects[1], objects[2, 3:9, 3:9] = 7, 99, 40
    before = objects.copy()
    _, found = product(segmenter.segment(stack_of(ids), frames=[1], objects=objects))
    assert found.objects is objects
    np.testing.assert_array_equal(objects[[0, 2]], before[[0, 2]])
    assert found.table.id.tolist() == list(range(41, 41 + len(found.table)))
    assert set(np.unique(objects[1])) == {0, *found.table.id.tolist()}


@pytest.mark.parametrize("kind", ["instances", "semantic"])
def test_arrays_on_disk_hold_the_same(request, kind, tmp_path, monkeypatch):
    segmenter = request.getfixturevalue(kind)
    ids, classes = cells()
    teach(monkeypatch, segmenter, ids, classes)
    _, expected = product(segmenter.segment(stack_of(ids)))
    arrays = [
        zarr.create_array(tmp_path / name, shape=ids.shape, chunks=(1, *ids.shape[1:]), dtype=dtype)
        for name, dtype in (("classes", "uint8"), ("objects", "uint32"))
    ]
    run = segmenter.segment(stack_of(ids), classes=arrays[0], objects=arrays[1])
    product(run)
    np.testing.assert_array_equal(arrays[0][:], expected.classes)
    np.testing.assert_array_equal(arrays[1][:], expected.objects)


@pytest.mark.parametrize("kind", ["instances", "semantic"])
def test_closing_the_run_writes_what_is_done(request, kind, monkeypatch):
    segmenter = request.getfixturevalue(kind)
    ids, classes = cells()
    teach(monkeypatch, segmenter, ids, classes)
    _, whole = product(segmenter.segment(stack_of(ids)))
    given, objects = np.zeros(ids.shape, np.uint8), np.zeros(ids.shape, np.uint32)
    run = segmenter.segment(stack_of(ids), classes=given, objects=objects)
    n_frame = sum(result.frames == (0,) for result in segmenter.segment(stack_of(ids)))
    for _ in range(n_frame + 2):
        result = next(run)
    run.close()
    np.testing.assert_array_equal(objects[0], whole.objects[0])
    done = np.zeros(ids.shape[1:], bool)
    done[result.rows, : result.cols.stop] = True
    assert not objects[1][~done].any()
    assert objects[1][done].any()
    table = ObjectTable.of(objects, given, CLASSES)  # every object has a class, no id is used twice
    assert table.id.tolist() == list(range(1, len(table) + 1))


def test_full_memory_uses_no_id_twice(instances, monkeypatch):
    ids, classes = cells()
    decoded = teach(monkeypatch, instances, ids, classes)
    _, expected = product(instances.segment(stack_of(ids), batch_size=4))
    decode = instances._source.decode

    def decode_until_memory_is_full(batches, encode, n_slots, *others):
        for number, sequence in enumerate(decode(batches, encode, n_slots, *others)):
            if number == 3 and n_slots > 1:
                raise MemoryError
            yield sequence

    decoded.clear()
    monkeypatch.setattr(instances._source, "decode", decode_until_memory_is_full)
    _, found = product(instances.segment(stack_of(ids), batch_size=4))
    assert len(decoded) > len(set(decoded))  # some were decoded twice
    np.testing.assert_array_equal(found.objects, expected.objects)
    np.testing.assert_array_equal(found.table.id, expected.table.id)


def test_window_that_could_not_be_added_is_decoded_again(instances, monkeypatch):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    _, expected = product(instances.segment(stack_of(ids), batch_size=4))
    read, asked = instances.tokenizer.decode, []

    def full_once(tokens):
        asked.append(tokens)
        if len(asked) == 5:
            raise MemoryError
        return read(tokens)

    monkeypatch.setattr(instances.tokenizer, "decode", full_once)
    _, found = product(instances.segment(stack_of(ids), batch_size=4))
    np.testing.assert_array_equal(found.objects, expected.objects)


def test_where_there_is_no_data_there_are_no_objects(instances, monkeypatch):
    ids, classes = cells(1)
    ids[0, :, :45], classes[0, :, :45] = 1, 1
    teach(monkeypatch, instances, ids, classes)
    images = np.random.default_rng(0).integers(1, 255, ids.shape, dtype=np.uint8)
    images[:, :, :40] = 0
    _, found = product(instances.segment(ImageStack.from_array(images)))
    assert not found.objects[0, :, :40].any()
    assert not found.classes[0, :, :40].any()
    assert found.objects[0, :, 40:45].all()
    assert same_partition(found.objects[0, :, 40:], ids[0, :, 40:])


def test_confidence_is_weighed_by_tokens(instances, monkeypatch):
    ids = np.zeros((1, 32, 56), np.int32)
    ids[0, 10:14, 4:50] = 1  # in both windows
    classes = (ids > 0).astype(np.uint8)
    teach(monkeypatch, instances, ids, classes)
    decode, lengths = instances._source.decode, []

    def first_is_sure(*arguments):
        for number, sequence in enumerate(decode(*arguments)):
            lengths.append(len(sequence.tokens) - 1)
            sequence.logprobs[:] = 0 if number == 0 else np.log(0.25)
            yield sequence

    monkeypatch.setattr(instances._source, "decode", first_is_sure)
    _, found = product(instances.segment(stack_of(ids)))
    assert len(lengths) == 2
    expected = (lengths[0] + 0.25 * lengths[1]) / sum(lengths)
    np.testing.assert_allclose(found.table.confidence, [expected], rtol=1e-5)


def test_arrays_must_fit(instances):
    stack = stack_of(np.zeros((1, 40, 40)))
    with pytest.raises(DataError, match=r"the ids of objects are \(1, 9, 9\), the stack is"):
        next(instances.segment(stack, objects=np.zeros((1, 9, 9), np.uint32)))
    with pytest.raises(DataError, match="ids of objects are uint32, got an array of uint8"):
        next(instances.segment(stack, objects=np.zeros((1, 40, 40), np.uint8)))


@pytest.mark.parametrize("image_size", [45, 180, 400])
def test_resized_objects_overlap_the_true_ones(instances, monkeypatch, image_size):
    ids, classes = cells(1)
    spec = instances.window_spec(image_size)
    size = instances.info.mask_spec.size
    readers = [LabelReader(array, spec) for array in (classes, ids)]

    def decode(batches, *_):
        for windows in batches:
            for index, window in enumerate(windows):
                masks = [subsample_labels(reader.read(window), size) for reader in readers]
                tokens = instances.tokenizer.encode(*masks)
                yield DecodedSequence(index, tokens, np.zeros(tokens.shape, np.float32), 0)

    monkeypatch.setattr(instances._source, "decode", decode)
    _, found = product(instances.segment(stack_of(ids), image_size=image_size))
    n, n_found = ids.max() + 1, int(found.objects.max()) + 1
    shared = np.bincount(
        (ids.astype(int) * n_found + found.objects).ravel(), minlength=n * n_found
    ).reshape(n, n_found)
    iou = shared / (shared.sum(1)[:, None] + shared.sum(0) - shared)
    rows, cols = linear_sum_assignment(-iou[1:, 1:])
    large = shared.sum(1)[1:][rows] > 100
    assert (iou[1:, 1:][rows, cols][large] > (0.6 if image_size < 90 else 0.85)).all()


def written(path):
    """Classes, ids and table of a result."""
    paths = ResultPaths.of(path)
    arrays = [np.asarray(LabelStack.open(one).data) for one in (path, paths.ids)]
    return *arrays, ObjectTable.read_csv(paths.table, CLASSES)


@pytest.mark.parametrize("name", ["m.tif", "m.ome.tif", "m.zarr"])
def test_files_hold_classes_objects_and_table(instances, monkeypatch, tmp_path, name):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    _, expected = product(instances.segment(stack_of(ids)))
    path = tmp_path / name
    _, summary = product(predict_to_file(instances, stack_of(ids), path))
    labels, objects, table = written(path)
    np.testing.assert_array_equal(labels, expected.classes)
    np.testing.assert_array_equal(objects, expected.objects)
    assert objects.dtype == np.uint32
    for column in ("id", "frame", "class_id", "area", "touches_border"):
        np.testing.assert_array_equal(getattr(table, column), getattr(expected.table, column))
    assert summary.n_objects == len(table)
    assert summary.objects == dict(zip(CLASSES, table.counts().sum(axis=0), strict=True))
    assert not summary.are_pieces
    ids_name = {"m.tif": "m.objects.tif", "m.ome.tif": "m.objects.ome.tif"}.get(name)
    assert {one.name for one in tmp_path.iterdir()} == {name, "m.objects.csv", ids_name} - {None}
    found = open_objects(ResultPaths.of(path).ids)
    np.testing.assert_array_equal(found.objects(1).ids, expected.objects[1])
    if name == "m.zarr":
        validate_zarr_store(path)
        assert zarr.open_group(path / "labels", mode="r").attrs["ome"]["labels"] == ["objects"]


@pytest.mark.parametrize("name", ["m.tif", "m.zarr"])
def test_update_keeps_objects_and_ids_of_other_frames(instances, monkeypatch, tmp_path, name):
    ids, classes = cells(3)
    teach(monkeypatch, instances, ids, classes)
    stack, path = stack_of(ids), tmp_path / name
    product(predict_to_file(instances, stack, path))
    labels, objects, table = written(path)
    teach(monkeypatch, instances, ids, classes, confidence=0.25)
    _, summary = product(predict_to_file(instances, stack, path, frames=[1], update=True))
    labels_now, objects_now, table_now = written(path)
    np.testing.assert_array_equal(labels_now, labels)
    np.testing.assert_array_equal(objects_now[[0, 2]], objects[[0, 2]])
    new = table_now.in_frames([1])
    assert new.id.tolist() == list(range(len(table) + 1, len(table) + len(new) + 1))
    assert set(np.unique(objects_now[1])) == {0, *new.id.tolist()}
    assert (np.diff(table_now.frame) >= 0).all()
    np.testing.assert_allclose(new.confidence, 0.25)
    np.testing.assert_allclose(table_now.in_frames([0, 2]).confidence, 0.5)
    assert summary.n_objects == len(new)


def test_update_of_masks_of_earlier_versions_takes_their_pieces(instances, monkeypatch, tmp_path):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    path = write_labels(tmp_path / "m.tif", classes, CLASSES)
    product(predict_to_file(instances, stack_of(ids), path, frames=[0], update=True))
    labels, objects, table = written(path)
    np.testing.assert_array_equal(labels, classes)
    assert same_partition(objects[1], components(classes[1]))
    assert set(table.in_frames([1]).state) == {"pieces"}
    assert set(table.in_frames([0]).state) == {"predicted"}
    assert np.unique(table.id).size == len(table)


@pytest.mark.parametrize("name", ["m.objects.tif", "m.objects.csv"])
def test_what_is_in_the_way_is_refused_for_all_files(instances, tmp_path, name):
    ids, _ = cells()
    (tmp_path / name).write_text("mine")
    for options in ({}, {"overwrite": True}):
        with pytest.raises(OutputError, match=name):
            next(predict_to_file(instances, stack_of(ids), tmp_path / "m.tif", **options))
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["m.tif", "m.zarr"])
def test_cancelled_files_are_not_there(instances, monkeypatch, tmp_path, name):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    run = predict_to_file(instances, stack_of(ids), tmp_path / name)
    next(run)
    run.close()
    assert not list(tmp_path.iterdir())


def test_results_of_one_name_have_tables_of_their_own(instances, monkeypatch, tmp_path):
    ids, classes = cells()
    teach(monkeypatch, instances, ids, classes)
    for name in ("m.tif", "m.zarr", "m.ome.tif"):
        product(predict_to_file(instances, stack_of(ids), tmp_path / name))
    tables = {"m.objects.csv", "m.zarr.objects.csv", "m.ome.tif.objects.csv"}
    assert {one.name for one in tmp_path.iterdir() if one.suffix == ".csv"} == tables
    for name in ("m.tif", "m.zarr", "m.ome.tif"):
        product(predict_to_file(instances, stack_of(ids), tmp_path / name, overwrite=True))
        paths = ResultPaths.of(tmp_path / name)
        assert ResultPaths.of_ids(paths.ids) == paths
        assert table_beside(paths.ids) == paths.table
    assert {one.name for one in tmp_path.iterdir() if one.suffix == ".csv"} == tables


def test_pieces_are_said_to_be_such(semantic, monkeypatch, tmp_path):
    ids, classes = cells()
    teach(monkeypatch, semantic, ids, classes)
    _, summary = product(predict_to_file(semantic, stack_of(ids), tmp_path / "m.tif"))
    _, _, table = written(tmp_path / "m.tif")
    assert summary.are_pieces
    assert set(table.state) == {"pieces"}
    assert objects_found([summary, summary]).startswith(
        f"{2 * len(table)} connected pieces of objects in 4 frames"
    )


def test_outlines_that_are_not_refined_are_those_of_the_tokens():
    movie = synthesize(SyntheticConfig(n_frames=1, size=(128, 128), seed=4))
    stack = ImageStack.from_array(movie.images)
    segmenter = Segmenter.from_checkpoint("demo-objects", "cpu")
    results, coarse = product(segmenter.segment(stack, image_size=128, refine=False))
    _, fine = product(segmenter.segment(stack, image_size=128))
    said = segmenter.tokenizer.decode(results[-1].tokens).instances
    np.testing.assert_array_equal(
        subsample_labels(coarse.objects.astype(np.int64), (32, 32)) > 0, said > 0
    )
    changed = (coarse.objects != fine.objects)[0]
    assert 0 < changed.mean() < 0.1
    reach = 5  # a mask pixel of 4, and what lies between its middle and its corner
    assert not changed[binary_erosion(coarse.objects[0] > 0, iterations=reach)].any()
