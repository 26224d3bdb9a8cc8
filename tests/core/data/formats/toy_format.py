"""A format as a newcomer would add it: JSON lines, a frame each."""

import json
from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import as_dask, image_data
from rleseg_core.data.formats.base import Format, FrameFiles

FOLDER = Path(__file__).parent


def open_toy(path, axes=None):
    _, *frames = path.read_text().splitlines()
    array = np.array([json.loads(frame) for frame in frames], np.uint8)
    return image_data(as_dask(array), axes or "TYX", str(path))


def read_frame(path, _masks):
    return np.asarray(open_toy(path)[0])


def frame_header(path, masks):
    frame = read_frame(path, masks)
    return frame.shape, frame.dtype


def write_toy(path, labels, record):
    frames = [json.dumps(np.asarray(frame).tolist()) for frame in labels]
    path.write_text("\n".join([json.dumps(record), *frames]))


def read_record(path):
    return json.loads(path.read_text().partition("\n")[0])


TOY = Format(
    label="toy array",
    suffixes=(".toy",),
    open_images=open_toy,
    frames=FrameFiles(header=frame_header, read=read_frame),
    write=write_toy,
    read_record=read_record,
)
