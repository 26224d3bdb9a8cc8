"""The sample of File ▸ Open Sample: a simulated time-lapse and its true masks."""

from napari.types import LayerData

from napari_rleseg.calibration import AXES
from napari_rleseg.layers import labels_attributes
from rleseg_core.data.synthetic import SyntheticConfig, synthesize

SAMPLE = SyntheticConfig(n_frames=12, size=(256, 256), seed=7)
NAME = "simulated cells"


def cells() -> list[LayerData]:
    """Phase-contrast-like cells of two classes that move, divide and die; the truth is hidden."""
    sequence = synthesize(SAMPLE)
    names = sequence.class_names
    truth = labels_attributes(names, provenance={"seed": SAMPLE.seed})
    truth |= {"name": f"{NAME} truth", "visible": False}
    image = {"name": NAME, "contrast_limits": (0, 255), "axis_labels": AXES}
    return [(sequence.images, image, "image"), (sequence.classes, truth, "labels")]
