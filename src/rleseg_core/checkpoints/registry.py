"""The installed models: the folders that hold them, a list of them, and one by its name."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rleseg_core.checkpoints.file import read_info
from rleseg_core.checkpoints.header import ModelInfo
from rleseg_core.errors import CheckpointError


def user_models() -> Path:
    """The folder of the models that the user trains or downloads."""
    from platformdirs import user_data_path

    return user_data_path("rleseg") / "models"


def model_folders() -> list[Path]:
    """The folders that hold models: the bundled ones, the user's, and those in RLESEG_MODELS."""
    named = [Path(part) for part in os.environ.get("RLESEG_MODELS", "").split(os.pathsep) if part]
    return [Path(__file__).parent.parent / "models", user_models(), *named]


@dataclass(frozen=True, kw_only=True)
class UnreadableModel:
    """A file in a folder of models that is none, or is damaged.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        One sentence for people.
    """

    path: Path
    reason: str


def installed_models(
    folders: Iterable[Path] | None = None,
) -> tuple[list[ModelInfo], list[UnreadableModel]]:
    """Headers of the installed models, the bundled ones first, and the unreadable files.

    Parameters
    ----------
    folders : iterable of Path, optional
        Where to look; `model_folders` by default.
    """
    found, unreadable = [], []
    for folder in model_folders() if folders is None else folders:
        for path in _model_files(folder):
            try:
                found.append(read_info(path))
            except CheckpointError as error:
                unreadable.append(UnreadableModel(path=path, reason=str(error)))
    return found, unreadable


def list_models() -> list[ModelInfo]:
    """Headers of the installed models, the bundled ones first; unreadable files are left out."""
    return installed_models()[0]


def _model_files(folder: Path) -> list[Path]:
    try:
        found = (path for path in folder.iterdir() if path.suffix == ".safetensors")
        return sorted(found, key=lambda path: path.stem)
    except OSError:  # there is no such folder, or it may not be looked into
        return []


def model_facts(info: ModelInfo) -> dict[str, object]:
    """What a list of models shows of one, as plain values: scheme, classes, sizes, licence."""
    return {
        "name": info.path.stem,
        "title": info.name,
        "scheme_name": _scheme_name(info),
        "classes": ", ".join(info.mask_spec.class_names),
        "mask": "x".join(map(str, info.mask_spec.size)),
        "patch": info.window_spec.patch,
        "frames": info.mask_spec.n_frames,
        "grey_values": info.window_spec.normalisation.summary,
        "vocabulary": _vocab_size(info),
        "steps": info.step,
        "source": _in_words(info.card.get("source") or info.card.get("data") or ""),
        "licence": str(info.card.get("licence", "")),
        "ids": "published" if info.layout else "compact",
        "scheme": info.scheme,
        "card": info.card,
        "file": str(info.path),
    }


def _vocab_size(info: ModelInfo) -> object:
    """V, or None where the header does not say it."""
    tokens = info.model.get("tokens")
    return tokens.get("vocab_size") if isinstance(tokens, Mapping) else None


def _scheme_name(info: ModelInfo) -> str:
    """The preset that is nearest to the scheme, and the settings that differ from it."""
    from rleseg_core.tokens import PRESETS

    def differences(name: str) -> dict[str, object]:
        usual = PRESETS[name].to_json()
        return {
            key: value
            for key, value in info.scheme.items()
            if key != "max_length" and usual.get(key) != value
        }

    names = list(PRESETS) if info.mask_spec.n_frames == 1 else list(reversed(PRESETS))
    nearest = min(names, key=lambda name: len(differences(name)))
    return ", ".join([nearest, *(f"{k}={v}" for k, v in differences(nearest).items())])


def find_model(name: str | Path) -> Path:
    """Path of a model given by its path or by the name of an installed one.

    Raises
    ------
    CheckpointError
        If there is neither; the message lists the installed names.
    """
    path = Path(name)
    if path.is_file():
        return path
    found, unreadable = installed_models()
    models = {info.path.stem: info.path for info in reversed(found)}
    if str(name) in models:
        return models[str(name)]
    for broken in unreadable:
        if broken.path.stem == str(name):
            raise CheckpointError(broken.reason)
    raise CheckpointError(
        f"there is no model file {name}, nor an installed model of that name "
        f"(installed: {', '.join(sorted(models)) or 'none'})"
    )


def _in_words(noted: object) -> str:
    """What a card notes, once or in a list."""
    return "; ".join(map(str, noted)) if isinstance(noted, list) else str(noted)
