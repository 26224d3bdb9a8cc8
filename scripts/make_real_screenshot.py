"""Picture of a stack and its predicted masks in napari, for docs/real-data.md.

python scripts/make_real_screenshot.py IMAGES MASKS.zarr --out docs/images/real-data.png
"""

import argparse
import os
import time
from pathlib import Path

import imageio.v3 as iio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frame", type=int, default=8)
    arguments = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = ""  # the picture must not depend on the user's settings

    from qtpy.QtWidgets import QApplication

    from napari_rleseg.__main__ import open_viewer

    viewer = open_viewer(arguments.images, arguments.masks)
    viewer.window.resize(1400, 860)
    viewer.dims.set_current_step(0, arguments.frame)
    viewer.layers[-1].contour = 2
    end = time.monotonic() + 3
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)
    viewer.reset_view()
    picture = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
    iio.imwrite(arguments.out, picture)
    viewer.close()


if __name__ == "__main__":
    main()
