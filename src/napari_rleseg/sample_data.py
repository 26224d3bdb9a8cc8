"""The samples of File ▸ Open Sample: simulated time-lapses and their true masks."""

from napari.types import LayerData

from napari_rleseg.calibration import AXES
from napari_rleseg.layers import labels_attributes
from rleseg_core.data.synthetic import CultureConfig, Kind, SyntheticConfig, synthesize

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


def rods() -> list[LayerData]:
    """Bacteria that grow, divide and push each other apart; their true objects are hidden."""
    return _culture("rods", "simulated bacteria", seed=2)


def yeast() -> list[LayerData]:
    """Budding yeast in colonies; its true objects are hidden."""
    return _culture("yeast", "simulated yeast", seed=5)


def nuclei() -> list[LayerData]:
    """Stained nuclei, dim beside bright; their true objects are hidden."""
    return _culture("nuclei", "simulated nuclei", seed=3)


def spread() -> list[LayerData]:
    """Thin and spindly adherent cells that touch; their true objects are hidden."""
    return _culture("spread", "simulated adherent cells", seed=0)


def _culture(kind: Kind, name: str, seed: int) -> list[LayerData]:
    sequence = synthesize(CultureConfig(kind=kind, n_frames=12, seed=seed))
    image = {"name": name, "contrast_limits": (0, 255), "axis_labels": AXES}
    truth = {"name": f"{name} objects", "visible": False, "axis_labels": AXES}
    return [(sequence.images, image, "image"), (sequence.instances, truth, "labels")]
