"""``python -m napari_rleseg [IMAGES [MASKS]]``: napari with the workbench open."""

import argparse
from pathlib import Path

import napari
from napari.viewer import Viewer

from napari_rleseg.layers import show_image, show_labels, stack_shape
from napari_rleseg.object_files import objects_of
from napari_rleseg.objects import objects_layer
from napari_rleseg.session import Session
from rleseg_core.data import ImageStack
from rleseg_core.data.formats.zarr_writing import open_written
from rleseg_core.errors import RlesegError


def open_viewer(
    images: Path | None = None, masks: Path | None = None, *, show: bool = True
) -> Viewer:
    """A viewer with the workbench docked, and a stack and its masks if they are given.

    Parameters
    ----------
    images : Path, optional
        A stack: TIFF, folder of frames, zarr or video.
    masks : Path, optional
        A zarr of class ids that `rleseg predict` wrote; what is painted reaches it at once.
    show : bool
        Whether the window is shown.
    """
    viewer = Viewer(show=show)
    _, workbench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
    if images is not None:
        stack = ImageStack.open(images)
        layer = show_image(viewer, stack, stack.intensity_range())
        session = Session.of(viewer)
        session.image = layer
        if masks is not None:
            data, metadata = open_written(masks, "r+")
            session.result = show_labels(
                viewer,
                data,
                metadata.class_names,
                name="masks",
                image=layer,
                path=masks,
                provenance=metadata.provenance,
            )
            found = objects_of(masks)
            if found is not None and tuple(found.ids.shape) == stack_shape(session.result):
                objects = objects_layer(found.ids, session.result, found.path)
                session.objects.show(objects, session.result, found.table)
                workbench.segment.objects.numbers.setChecked(True)
        viewer.dims.set_current_step(0, 0)
        viewer.reset_view()
        workbench.show_tab("Segment")
    return viewer


def main() -> None:
    """Open napari, and leave when its window is closed."""
    parser = argparse.ArgumentParser(prog="python -m napari_rleseg", description=__doc__)
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("masks", type=Path, nargs="?")
    arguments = parser.parse_args()
    try:
        open_viewer(arguments.images, arguments.masks)
    except RlesegError as error:  # a choice is needed, or a file is damaged: the Load tab asks
        parser.error(str(error))
    napari.run()


if __name__ == "__main__":
    main()
