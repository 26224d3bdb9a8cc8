"""Values of napari's Preferences, under RLE Seg."""

from napari.settings import get_plugin_settings

DEFAULTS: dict[tuple[str, str], object] = {
    ("inference", "device"): "auto",
    ("inference", "threads"): 0,
    ("inference", "batch_size"): 0,
    ("inference", "separate_process"): True,
    ("animation", "frame_rate"): 30,
    ("animation", "load"): 40,
}


def preference(section: str, name: str) -> object:
    """A value of the manifest's `configurations`, or the default in a viewer without them."""
    try:
        return getattr(getattr(get_plugin_settings("napari-rleseg"), section), name)
    except (AttributeError, KeyError, ValueError):  # a viewer that does not know the manifest
        return DEFAULTS[section, name]
