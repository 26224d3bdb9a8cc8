"""Make the screenshots of the plugin in docs/images: a real window, clicked through.

make docs        # the same under a virtual screen where there is no display
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np

IMAGES = Path(__file__).parents[1] / "docs/images"


class Photographer:
    """Waits for the window, and takes screenshots of it."""

    def __init__(self, viewer, folder: Path) -> None:
        from qtpy.QtWidgets import QApplication

        self.viewer, self.folder = viewer, folder
        self.events = QApplication.processEvents

    def wait(self, seconds: float) -> None:
        """Process events for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.events()
            time.sleep(0.005)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 1800) -> None:
        """Process events until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                sys.exit("the window did not reach the expected state in time")
            self.wait(0.02)

    def take(self, name: str) -> None:
        """Save a screenshot of the whole window."""
        self.wait(0.5)
        image = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        iio.imwrite(self.folder / name, image)
        print(self.folder / name, image.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--model", default="demo-objects", help="a model file or name")
    parser.add_argument("--size", default="1400x860", help="of the window")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["NAPARI_CONFIG"] = ""  # the image must not depend on the user's settings
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        size = [int(n) for n in arguments.size.split("x")]
        photograph_tracks(arguments.out, size)
        photograph(arguments.out, arguments.model, size)


def photograph(folder: Path, model: str, size: list[int]) -> None:
    from napari.viewer import Viewer

    from rleseg_core.checkpoints import find_model, read_info

    viewer = Viewer()
    viewer.window.resize(*size)
    camera = Photographer(viewer, folder)
    viewer.open_sample("napari-rleseg", "cells")
    _, bench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
    session = bench.session
    session.model = read_info(find_model(model))
    session.image = viewer.layers[0]
    viewer.window.resize(*size)
    camera.wait(1)
    viewer.reset_view()
    bench.show_tab("Load")
    camera.take("load.png")

    bench.show_tab("Segment")
    running = bench.segment.segmentation
    bench.segment.button.click()
    progress = bench.segment.progress
    camera.wait_until(lambda: progress.maximum() > 0 and progress.value() > progress.maximum() / 2)
    camera.take("segment.png")
    camera.wait_until(lambda: not running.running)
    photograph_objects(camera, bench, frame=3)

    viewer.dims.set_current_step(0, 3)
    bench.show_tab("Animate")
    animate = bench.animate
    animate.window_box.setCurrentIndex(fullest_window(animate.window_box, viewer.layers[1].data))
    animate.load_button.click()
    camera.wait_until(lambda: animate.player.complete)
    animate.player.pause()
    animate.player.seek(int(0.6 * animate.player.n_events))
    camera.take("workbench.png")
    animate.close_button.click()
    camera.wait(0.5)
    viewer.reset_view()

    viewer.dims.set_current_step(0, 3)
    bench.show_tab("Correct")
    correct = bench.correct
    correct.start_page.start_button.click()
    camera.wait_until(lambda: correct.correction.recorder is not None)
    repair(session.result, viewer.layers["simulated cells truth"].data, frame=3)
    session.result.mode = "paint"
    camera.wait(1.5)
    correct.review.compare_button.click()
    camera.take("correct.png")
    correct.review.compare_button.click()
    correct.review.accept_button.click()

    photograph_fine_tuning(camera, bench, viewer.layers["simulated cells truth"])
    session.close()
    viewer.close()


def photograph_objects(camera: Photographer, bench, frame: int) -> None:
    """The objects of a frame, numbered, with the largest one chosen, without the masks."""
    session, objects = bench.session, bench.session.objects
    camera.viewer.dims.set_current_step(0, frame)
    rows = objects.table.in_frames([frame])
    session.result.visible = False
    bench.segment.objects.numbers.setChecked(True)
    objects.choose(int(rows.id[rows.area.argmax()]))
    camera.take("objects.png")
    objects.choose(0)
    bench.segment.objects.numbers.setChecked(False)
    session.result.visible = True


def photograph_tracks(folder: Path, size: list[int]) -> None:
    """Tracks of bacteria whose masks are the true ones, with the lineage of one that divides."""
    from napari.viewer import Viewer

    from napari_rleseg.layers import show_labels
    from napari_rleseg.objects import objects_layer
    from rleseg_core.data.synthetic import CultureConfig, synthesize
    from rleseg_core.objects import ObjectTable

    sequence = synthesize(CultureConfig(kind="rods", n_frames=16, seed=2))
    ids = numbered_by_frame(sequence.instances)
    classes, names = (ids > 0).astype(np.uint8), ("bacterium",)
    viewer = Viewer()
    viewer.window.resize(*size)
    camera = Photographer(viewer, folder)
    _, bench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
    session, panel = bench.session, bench.track
    session.image = viewer.add_image(sequence.images, name="bacteria", contrast_limits=(0, 90))
    masks = show_labels(viewer, classes, names, name="bacteria masks", image=session.image)
    session.result, masks.visible = masks, False
    table = ObjectTable.of(ids, classes, names)
    session.objects.show(objects_layer(ids, masks), masks, table)
    viewer.window.resize(*size)
    bench.show_tab("Track")
    panel.button.click()
    camera.wait_until(lambda: not panel.tracking.busy)
    viewer.reset_view()
    viewer.dims.set_current_step(0, 11)
    tracks = session.tracks
    largest = max((tracks.lineage(track) for track in tracks.daughters()), key=len)
    tracks.choose_track(largest[1])  # a daughter
    camera.wait(0.2)
    camera.take("tracks.png")
    session.close()
    viewer.close()


def numbered_by_frame(ids: np.ndarray) -> np.ndarray:
    """Ids (T, Y, X) uint32 that differ between frames, as those of objects do, of any ids."""
    found = np.zeros(ids.shape, np.uint32)
    for frame, here in enumerate(ids):
        numbers = {number: n for n, number in enumerate(np.unique(here[here > 0]), found.max() + 1)}
        for number, new in numbers.items():
            found[frame][here == number] = new
    return found


def photograph_fine_tuning(camera: Photographer, bench, truth) -> None:
    bench.show_tab("Fine-tune")
    tune = bench.finetune
    tune.truth.layer = truth
    camera.wait(0.5)
    tune.button.click()
    camera.wait_until(lambda: tune.progress.maximum() > 0 and tune.progress.value() >= 60)
    camera.take("finetune.png")
    tune.button.click()
    camera.wait_until(lambda: not tune.finetuning.running)


def repair(masks, truth: np.ndarray, frame: int) -> None:
    """Paint the truth over the upper half of a frame, as a careful person would."""
    half = truth.shape[1] // 2
    where = np.nonzero(np.asarray(masks.data[frame, :half]) != truth[frame, :half])
    values = truth[frame][where]
    masks.data_setitem((np.full(len(values), frame), *where), values)


def fullest_window(box, classes: np.ndarray) -> int:
    """Index of the window with the most foreground."""
    windows = {index: box.itemData(index) for index in range(1, box.count())}
    return max(
        windows,
        key=lambda k: np.count_nonzero(
            classes[windows[k].frames[0]][slice(*windows[k].rows), slice(*windows[k].cols)]
        ),
    )


if __name__ == "__main__":
    main()
