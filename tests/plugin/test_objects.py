"""Objects in the viewer: found while segmenting, counted, coloured, chosen, and kept."""

import numpy as np
import pytest
import zarr
from napari.layers.labels._labels_utils import get_contours
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks
from napari.utils.interactions import mouse_release_callbacks as release
from qtpy.QtCore import Qt

from napari_rleseg.io import read_session, read_zarr, write_masks
from napari_rleseg.layers import show_labels
from napari_rleseg.object_colours import CHOSEN_COLOUR, object_colormap
from napari_rleseg.object_files import ObjectFiles
from napari_rleseg.objects import (
    MANY_PIXELS,
    objects_layer,
    outline_width,
    outlined,
    will_be_outlined,
)
from napari_rleseg.widgets.load import LoadWidget
from napari_rleseg.widgets.object_table import COLUMNS
from napari_rleseg.widgets.objects import ObjectsPanel
from napari_rleseg.widgets.segment import CURRENT, SegmentWidget
from rleseg_core import product_of
from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.colours import as_rgb, class_colour
from rleseg_core.evaluation.instances import components
from rleseg_core.inference import Segmenter, predict_to_file
from rleseg_core.objects import ObjectTable

pytestmark = pytest.mark.gui

NAMES = ("ipsc", "dfc")


def grid_of_objects(n_frames: int = 4, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """Six squares in each frame, with ids from 1 on through the stack."""
    ids = np.zeros((n_frames, *size), np.uint32)
    for frame in range(n_frames):
        for place in range(6):
            row, col = 10 + 30 * (place // 2), 8 + 28 * (place % 2)
            ids[frame, row : row + 12, col : col + 12] = 6 * frame + place + 1
    return ids


@pytest.fixture
def shown(session, cells):
    """A view of 24 objects: the classes alternate, and confidences rise from 0.5."""
    ids = grid_of_objects()
    classes = np.where(ids > 0, 2 - ids % 2, 0).astype(np.uint8)
    confidence = {number: 0.5 + number / 100 for number in range(1, 25)}
    table = ObjectTable.of(ids, classes, NAMES, confidence=confidence)
    masks = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    session.result = masks
    session.objects.show(objects_layer(ids, masks), masks, table)
    session.viewer.dims.set_current_step(0, 0)
    return session.objects


@pytest.fixture
def panel(session, shown, qtbot) -> ObjectsPanel:
    panel = ObjectsPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def segment(session, cells, tiny_model, qtbot) -> SegmentWidget:
    widget = SegmentWidget(session)
    qtbot.addWidget(widget)
    session.model = tiny_model
    return widget


def finish(widget: SegmentWidget, qtbot) -> str:
    with qtbot.waitSignal(widget.segmentation.stopped) as how:
        widget.button.click()
    return how.args[0]


def click(viewer, row: float, col: float, moved: float = 0) -> None:
    """Press and release the mouse on the canvas, in data pixels of the frame that is shown."""
    place = (viewer.dims.point[0], row * 0.5, col * 0.5)  # the images are scaled
    how = {"position": place, "view_direction": None, "dims_displayed": [1, 2], "button": 1}
    mouse_press_callbacks(viewer, read_only_mouse_event("mouse_press", **how))
    how["pos"] = np.full(2, moved)
    if moved:
        mouse_move_callbacks(viewer, read_only_mouse_event("mouse_move", is_dragging=True, **how))
    release(viewer, read_only_mouse_event("mouse_release", **how))


def test_segmentation_shows_its_objects_beside_the_masks(segment, session, qtbot):
    assert finish(segment, qtbot) == "finished"
    layer, masks = session.objects.layer, session.result
    assert layer in session.viewer.layers
    assert session.objects.masks is masks
    assert isinstance(layer.data, zarr.Array)
    assert layer.data.dtype == np.uint32
    assert tuple(layer.scale) == tuple(masks.scale)
    assert not layer.editable
    ids, classes = np.asarray(layer.data), np.asarray(masks.data)
    np.testing.assert_array_equal(ids > 0, classes > 0)
    assert np.unique(ids[ids > 0]).tolist() == sorted(session.objects.table.id.tolist())
    assert len(session.objects.table) == sum(components(frame).max() for frame in classes)
    assert layer.features["index"].tolist() == session.objects.table.id.tolist()
    assert segment.objects.kind.text().startswith("Connected pieces")
    assert segment.objects.counts.horizontalHeaderItem(0).text() == "Connected pieces"
    assert layer.name == "cells objects"


def test_objects_of_frames_that_are_segmented_again_replace_the_others(segment, session, qtbot):
    finish(segment, qtbot)
    first, before = session.objects.layer, session.objects.table
    session.viewer.dims.set_current_step(0, 2)
    segment.frames.setCurrentText(CURRENT)
    segment.advanced.image_size.setValue(192)
    finish(segment, qtbot)
    table = session.objects.table
    assert session.objects.layer is first
    ids = np.asarray(first.data)
    assert sorted(table.id.tolist()) == np.unique(ids[ids > 0]).tolist()
    assert len(np.unique(table.id)) == len(table)
    others = before.select(before.frame != 2)
    assert table.select(table.frame != 2).id.tolist() == others.id.tolist()
    assert set(table.select(table.frame == 2).id.tolist()) != set(before.in_frames([2]).id.tolist())


def test_cancelled_segmentation_leaves_table_and_ids_alike(segment, session, cells, qtbot):
    long = np.tile(cells.images, (6, 2, 2))
    session.image = session.viewer.add_image(long, name="long")
    segment.image.layer = session.image
    with qtbot.waitSignal(segment.segmentation.progressed):
        segment.button.click()
    with qtbot.waitSignal(segment.segmentation._loading.finished):
        segment.button.click()
    ids = np.asarray(session.objects.layer.data)
    assert ids.any()
    assert session.objects.table.id.tolist() == np.unique(ids[ids > 0]).tolist()
    files = ObjectFiles.beside(session.path_of(session.result))
    assert ObjectTable.read_csv(files.table, NAMES).id.tolist() == session.objects.table.id.tolist()


@pytest.fixture
def instance_model(tmp_path):
    """A model with random weights whose tokens tell objects apart."""
    import torch

    from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
    from rleseg_core.spec import MaskSpec, WindowSpec
    from rleseg_core.tokens import preset

    torch.manual_seed(0)
    info = new_model(
        tmp_path / "instances.safetensors",
        size="test",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(16, 16), class_names=NAMES),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=48,
        card={"name": "instances"},
    )
    save_checkpoint(info, build_model(info).state_dict())
    return info


@pytest.mark.processes
def test_objects_of_a_model_of_instances_arrive_from_its_process(
    segment, session, instance_model, qtbot
):
    session.model = instance_model
    assert finish(segment, qtbot) == "finished"
    table, ids = session.objects.table, np.asarray(session.objects.layer.data)
    assert len(table)
    assert set(table.state) == {"predicted"}
    assert not np.isnan(table.confidence).any()
    assert np.unique(ids[ids > 0]).tolist() == sorted(table.id.tolist())
    np.testing.assert_array_equal(table.class_map(ids), np.asarray(session.result.data))
    assert not segment.objects.kind.text()


def test_objects_whose_layer_was_removed_are_shown_again(segment, session, instance_model, qtbot):
    session.model = instance_model
    finish(segment, qtbot)
    before = session.objects.table
    session.viewer.layers.remove(session.objects.layer)
    with qtbot.waitSignal(segment.objects.finding.stopped):
        segment.objects.find.click()
    assert session.objects.table.id.tolist() == before.id.tolist()
    assert set(session.objects.table.state) == {"predicted"}


def test_layer_of_objects_is_saved_as_ids(shown, tmp_path):
    data, attributes, _ = shown.layer.as_layer_data_tuple()
    write_masks(str(tmp_path / "objects.tif"), data, attributes)
    saved = LabelStack.open(tmp_path / "objects.tif")
    np.testing.assert_array_equal(np.asarray(saved.data), grid_of_objects())


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_objects_that_the_command_line_wrote_are_shown_with_their_masks(
    session, cells, tiny_model, qtbot, tmp_path, name
):
    stack = ImageStack.from_array(cells.images)
    segmenter = Segmenter.from_checkpoint(tiny_model.path, "cpu")
    product_of(predict_to_file(segmenter, stack, tmp_path / name))
    load, panel = LoadWidget(session), ObjectsPanel(session)
    for widget in (load, panel):
        qtbot.addWidget(widget)
    with qtbot.waitSignal(load.loaded):
        load.open_masks(tmp_path / name)
    table = session.objects.table
    ids = np.asarray(session.objects.layer.data)
    assert len(table)
    assert sorted(table.id.tolist()) == np.unique(ids[ids > 0]).tolist()
    assert session.objects.masks in session.viewer.layers
    assert panel.counts.text(2, 2) == str(len(table))


def test_zarr_is_opened_with_its_objects_and_their_table(cells, tiny_model, tmp_path):
    stack = ImageStack.from_array(cells.images)
    segmenter = Segmenter.from_checkpoint(tiny_model.path, "cpu")
    product_of(predict_to_file(segmenter, stack, tmp_path / "out.zarr"))
    masks, objects = read_zarr(str(tmp_path / "out.zarr"))
    assert masks[1]["name"] != objects[1]["name"]
    ids = np.asarray(objects[0])
    assert sorted(objects[1]["features"]["index"]) == np.unique(ids[ids > 0]).tolist()


def test_objects_come_back_with_their_session(segment, session, qtbot):
    finish(segment, qtbot)
    before = session.objects.table
    load = LoadWidget(session)
    qtbot.addWidget(load)
    with qtbot.waitSignal(load.loaded):
        load.open_session(session.folder)
    table = session.objects.table
    assert table.id.tolist() == before.id.tolist()
    assert table.state.tolist() == before.state.tolist()
    assert session.objects.masks is session.result
    assert session.objects.layer in session.viewer.layers


def test_session_without_a_table_gets_one_from_its_ids(segment, session, qtbot):
    """As after the end of the program in the middle of a segmentation."""
    finish(segment, qtbot)
    files = ObjectFiles.beside(session.path_of(session.result))
    before = ObjectTable.read_csv(files.table, NAMES)
    files.table.unlink()
    _, _, objects = read_session(str(session.folder))
    assert objects[1]["features"]["index"].tolist() == before.id.tolist()
    assert set(objects[1]["features"]["state"]) == {"pieces"}


def test_session_of_an_earlier_version_opens_without_objects(segment, session, qtbot):
    finish(segment, qtbot)
    files = ObjectFiles.beside(session.path_of(session.result))
    files.table.unlink()
    files.ids.rename(files.ids.with_name("elsewhere"))
    load = LoadWidget(session)
    qtbot.addWidget(load)
    with qtbot.waitSignal(load.loaded):
        load.open_session(session.folder)
    assert session.objects.layer is None
    assert session.result is not None


def test_counts_follow_the_time_slider(panel, session, shown):
    counts = panel.counts
    assert [counts.text(row, 0) for row in range(3)] == ["ipsc", "dfc", "all classes"]
    assert [counts.text(row, 1) for row in range(3)] == ["3", "3", "6"]
    assert [counts.text(row, 2) for row in range(3)] == ["12", "12", "24"]
    shown.replace([2], shown.table.in_frames([2]).select(np.array([0])))
    assert counts.text(2, 1) == "6"
    session.viewer.dims.set_current_step(0, 2)
    assert counts.horizontalHeaderItem(1).text() == "frame 2"
    assert [counts.text(row, 1) for row in range(3)] == ["1", "0", "1"]
    assert counts.text(2, 2) == "19"


def test_colours_are_those_of_ids_classes_or_confidences(panel, session, shown):
    layer = shown.layer

    def colour(object_id):
        return tuple(np.round(layer.colormap.map(np.uint32(object_id)), 3))

    assert len({colour(object_id) for object_id in range(1, 25)}) == 24
    choose(panel.colouring, "class")
    assert colour(1) == pytest.approx((*np.array(as_rgb(class_colour(1))) / 255, 1), abs=1e-3)
    assert colour(3) == colour(1) != colour(2)
    assert not panel.legend.isVisible()
    choose(panel.colouring, "confidence")
    assert len({colour(object_id) for object_id in range(1, 25)}) == 24
    assert colour(24)[0] > colour(1)[0]  # yellow, and purple
    assert panel.legend.isVisible()
    assert (panel.legend.low.text(), panel.legend.high.text()) == ("0.51", "0.74")


def choose(box, text: str) -> None:
    index = box.findText(text)
    box.setCurrentIndex(index)
    box.activated.emit(index)


def test_unknown_confidence_is_said(panel, shown):
    table = shown.table
    unknown = ObjectTable.of(shown.layer.data, {int(i): 1 for i in table.id}, NAMES)
    shown.replace(range(4), unknown)
    choose(panel.colouring, "confidence")
    assert panel.legend.low.text() == "The confidence is not known"


def test_click_on_an_object_chooses_its_row_and_says_what_it_is(panel, session, shown):
    session.viewer.dims.set_current_step(0, 1)
    click(session.viewer, 15, 12)
    assert shown.chosen_id == 7
    assert panel.table.rows.id_at(panel.table.currentIndex().row()) == 7
    assert panel.about.text() == "Object 7: ipsc, 144 px, confidence 0.57, predicted"
    assert tuple(shown.layer.colormap.map(np.uint32(7))) == CHOSEN_COLOUR
    click(session.viewer, 2, 2)
    assert shown.chosen_id == 0
    assert not panel.table.currentIndex().isValid()


def test_dragging_the_view_chooses_nothing(panel, session, shown):
    click(session.viewer, 15, 12, moved=20)
    assert shown.chosen_id == 0


def test_clicks_of_a_brush_choose_nothing(panel, session, shown):
    session.viewer.layers.selection.active = session.result
    session.result.mode = "paint"
    click(session.viewer, 15, 12)
    assert shown.chosen_id == 0


def test_row_that_is_chosen_shows_its_object_in_its_frame(panel, session, shown, qtbot):
    table = panel.table
    row = table.rows.row_with(14)
    place = table.visualRect(table.rows.index(row, 0)).center()
    if not table.viewport().rect().contains(place):
        table.scrollTo(table.rows.index(row, 0))
        place = table.visualRect(table.rows.index(row, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert session.viewer.dims.current_step[0] == 2
    assert shown.layer.selected_label == 14
    assert panel.about.text().startswith("Object 14: dfc")


def test_table_is_ordered_by_the_column_that_is_clicked(panel, shown):
    shown.choose(5)
    column = [column.title for column in COLUMNS].index("Conf.")
    panel.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    rows = panel.table.rows
    assert [rows.id_at(row) for row in range(3)] == [24, 23, 22]
    assert rows.id_at(panel.table.currentIndex().row()) == 5
    shown.replace([3], shown.table.in_frames([]))
    assert [rows.id_at(row) for row in range(3)] == [18, 17, 16]


def test_table_scrolls_to_the_frame_that_is_shown(panel, session, shown):
    table = panel.table
    session.viewer.dims.set_current_step(0, 2)
    assert table.rows.id_at(table.rowAt(0)) == 13
    table.sortByColumn(3, Qt.SortOrder.AscendingOrder)  # by area: a frame has no place
    before = table.rowAt(0)
    session.viewer.dims.set_current_step(0, 3)
    assert table.rowAt(0) == before


def test_panel_offers_pieces_without_objects_and_is_hidden_without_masks(panel, session, shown):
    session.viewer.layers.remove(shown.layer)
    assert not panel.table.isVisible()
    assert panel.find.isVisible()
    assert shown.layer is None
    assert shown.table.id.size == 0
    session.viewer.layers.remove(session.result)
    assert not panel.isVisible()


def test_outlines_can_be_filled(panel, shown):
    assert shown.layer.contour == outline_width(shown.layer.data.shape)
    panel.outlines.click()
    assert shown.layer.contour == 0
    assert shown.layer.opacity < 1
    panel.outlines.click()
    assert shown.layer.contour > 0


def test_numbers_are_those_of_the_frame_that_is_shown(panel, session, shown):
    session.viewer.dims.set_current_step(0, 1)
    panel.numbers.click()
    numbers = session.viewer.layers["numbers"]
    assert sorted(numbers.text.values.tolist()) == ["10", "11", "12", "7", "8", "9"]
    assert numbers.data[:, 0].tolist() == [1] * 6
    assert tuple(numbers.data[0, 1:]) == (15.5, 13.5)
    assert tuple(numbers.scale) == tuple(shown.layer.scale)
    session.viewer.dims.set_current_step(0, 2)
    assert sorted(map(int, numbers.text.values)) == [13, 14, 15, 16, 17, 18]
    shown.replace([2], shown.table.in_frames([2]).select(np.array([1])))
    assert numbers.text.values.tolist() == ["14"]
    panel.numbers.click()
    assert not numbers.visible
    assert session.viewer.layers.selection.active is not numbers


def test_very_large_frames_are_filled_at_first(session, cells):
    side = int(MANY_PIXELS**0.5) + 1
    ids = np.broadcast_to(np.zeros(1, np.uint32), (1, side, side))
    masks = show_labels(session.viewer, np.zeros((1, 8, 8), np.uint8), NAMES, name="large")
    assert not will_be_outlined(ids.shape)
    assert objects_layer(ids[:, :100, :100], masks).contour > 0


def test_outlines_are_those_of_napari():
    ids = np.kron(np.random.default_rng(0).integers(0, 4, (9, 11)), np.ones((7, 7), int))
    ids = ids.astype(np.uint32)
    np.testing.assert_array_equal(outlined(ids, 1), get_contours(ids, 1, 0))


@pytest.mark.parametrize("width", [1, 2, 3])
def test_outlines_are_as_wide_as_wanted_between_objects_too(width):
    ids = np.zeros((20, 40), np.uint32)
    ids[:, 10:20], ids[:, 20:30] = 7, 3
    row = outlined(ids, width)[10]
    inside = range(10 + width, 20 - width), range(20 + width, 30 - width)
    expected = ids[10].copy()
    expected[[place for part in inside for place in part]] = 0
    np.testing.assert_array_equal(row, expected)


def test_only_the_chosen_object_is_shown_if_napari_is_told_so(panel, shown):
    shown.choose(3)
    shown.layer.show_selected_label = True
    shown.choose(4)
    choose(panel.colouring, "class")
    assert shown.layer.colormap.map(np.uint32(3))[3] == 0
    assert shown.layer.colormap.map(np.uint32(4))[3] == 1


def test_layer_shows_outlines(shown):
    view = shown.layer._slice.image.view
    assert view[10, 8] != 0
    assert view[15, 14] == 0


def test_many_objects_have_colours_of_their_own_in_the_frame_that_is_shown():
    """There are more ids than napari has colours: 70,000 in two frames."""
    n = 70_000
    columns = dict.fromkeys(("area", "top", "left", "bottom", "right", "row", "col"), np.ones(n))
    table = ObjectTable(
        class_names=NAMES,
        id=np.arange(1, n + 1),
        frame=(np.arange(n) >= n - 10).astype(int),
        class_id=1 + (np.arange(n) >= n - 10),
        confidence=np.full(n, 0.5),
        touches_border=np.zeros(n, bool),
        state=np.full(n, "predicted"),
        **columns,
    )
    colours = [tuple(np.array(as_rgb(class_colour(k))) / 255) for k in (1, 2)]
    second = object_colormap(table, "class", frame=1)
    first = object_colormap(table, "class", frame=0)
    assert tuple(second.map(np.uint32(n))[:3]) == pytest.approx(colours[1], abs=1e-3)
    assert tuple(first.map(np.uint32(5))[:3]) == pytest.approx(colours[0], abs=1e-3)
    assert tuple(first.map(np.uint32(n % 65_534))[:3]) == pytest.approx(colours[0], abs=1e-3)


def test_table_asks_for_the_rows_that_are_seen_only(panel, shown, monkeypatch):
    n = 20_000
    asked = []
    text = COLUMNS[0].text
    monkeypatch.setattr(COLUMNS[0], "text", lambda *cell: (asked.append(cell[1]), text(*cell))[1])
    columns = dict.fromkeys(("area", "top", "left", "bottom", "right", "row", "col"), np.ones(n))
    table = ObjectTable(
        class_names=NAMES,
        id=np.arange(1, n + 1),
        frame=np.arange(n) // 5000,
        class_id=np.ones(n),
        confidence=np.full(n, 0.5),
        touches_border=np.zeros(n, bool),
        state=np.full(n, "predicted"),
        **columns,
    )
    shown.replace(range(4), table)
    panel.table.viewport().grab()
    assert panel.table.rows.rowCount() == n
    assert 0 < len(set(asked)) < 200


def test_layers_of_objects_are_not_offered_as_masks(session, shown, qtbot):
    from napari.layers import Labels

    from napari_rleseg.widgets.choosers import LayerBox

    box = LayerBox(session.viewer, Labels)
    qtbot.addWidget(box)
    assert [box.itemText(index) for index in range(box.count())] == ["masks"]
