"""A format as a newcomer would add it: JSON lines, a frame each."""

import json
from pathlib import Path

import numpy as np

from rleseg_core.data.formats.base import Format, Series
from rleseg_core.data.metadata import StackMetadata

FOLDER = Path(__file__).parent


def toy_series(path, _options, _masks):
    record, *frames = path.read_text().splitlines()
    array = np.array([json.loads(frame) for frame in frames], np.uint32)
    return [
        Series(
            shape=array.shape,
            dtype=array.dtype,
            axes="TYX",
            read=lambda: array,
            metadata=StackMetadata.from_json(json.loads(record)),
        )
    ]


def write_toy(path, labels, metadata):
    frames = [json.dumps(np.asarray(labels[t]).tolist()) for t in range(labels.shape[0])]
    path.write_text("\n".join([json.dumps(metadata.to_json()), *frames]))


TOY = Format(
    label="toy array",
    suffixes=(".toy",),
    series=toy_series,
    is_frame=True,
    write=write_toy,
)
