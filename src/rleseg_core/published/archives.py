"""The authors' published models by name: download, unpack, import."""

import stat
import zipfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from platformdirs import user_cache_path

from rleseg_core.checkpoints import model_output, user_models
from rleseg_core.download import Downloaded, download
from rleseg_core.errors import CheckpointError
from rleseg_core.files import work_folder
from rleseg_core.memory import free_disk
from rleseg_core.outputs import check_outputs
from rleseg_core.published.importing import BnEval, import_checkpoint

REPOSITORY = "https://huggingface.co/abhineet123/p2s-video"
LICENCE = f"not known here; read {REPOSITORY} before you use it"
_FILES = f"{REPOSITORY}/resolve/main"

_ICE = ("anchor_ice", "frazil_ice")
_CELLS = ("ipsc", "dfc")
_CITY = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train"),
    *("motorcycle", "bicycle"),
)


_MOST_MEMBERS = 1000
_MOST_SHRUNK = 4  # declared bytes for each byte of the archive
_ALWAYS_FINE = 2**24  # bytes of texts, which shrink more


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A published zip of one model.

    Parameters
    ----------
    path : str
        Path in the repository.
    title : str
        Data and number of training images, for lists.
    class_names : tuple of str or None
        Classes of its data set; None for a model that does not segment.
    sha256 : str or None
        Checksum of the archive; None if it is not known.
    """

    path: str
    title: str
    class_names: tuple[str, ...] | None = None
    sha256: str | None = None


def _ice(n_images: int, path: str) -> Archive:
    return Archive(
        path=f"ARIS/{path}.zip", title=f"river ice, {n_images} training images", class_names=_ICE
    )


def _cells(title: str, path: str) -> Archive:
    return Archive(path=f"IPSC/{path}.zip", title=title, class_names=_CELLS)


_ROTATED = "64_256-rot_15_345_8-flip-sub_8-lac-617-batch_12-seq1k"
ARCHIVES: dict[str, Archive] = {
    "pretrained-640": Archive(
        path="pretrained/resnet_640.zip", title="Google's detector on COCO, to train from"
    ),
    "aris-32": _ice(
        32,
        "log_seg_resnet_1024_resize_1280-0_31-1024_1024-64_256-rot_15_345_16-flip-sub_8-lac-617-"
        "batch_4-seq3k",
    ),
    "aris-24": _ice(24, f"log_seg_resnet_640_0_23-640_640-{_ROTATED}_d3_260315_160611"),
    "aris-16": _ice(16, f"log_seg_resnet_640_0_15-640_640-{_ROTATED}_d3_260315_160437"),
    "aris-8": _ice(8, f"log_seg_resnet_640_0_7-640_640-{_ROTATED}_d3_260315_160118"),
    "aris-4": _ice(4, f"log_seg_resnet_640_0_3-640_640-{_ROTATED}"),
    "ipsc-early": _cells(
        "stem cells, early stage, images",
        "early_stage/log_seg_resnet_640_resize_640-16_53-640_640-640_640-rot_15_345_4-flip-sub_2-"
        "2d-lac-batch_8-seq3k",
    ),
    "ipsc-early-video": _cells(
        "stem cells, early stage, 8 frames",
        "early_stage/log_video_seg_resnet_640_resize_2560-16_53-640_640-640_640-length-8-stride-1-"
        "sub_8-tac-mc-batch_4-seq3k",
    ),
    "ipsc-late": _cells(
        "stem cells, late stage, images",
        "late_stage/log_seg_resnet_640_resize_2560-54_126-640_640-160_320-rot_15_345_1-sub_8-lac-"
        "batch_72-fbb",
    ),
    "ipsc-late-video": _cells(
        "stem cells, late stage, 8 frames",
        "late_stage/log_video_seg_resnet_640_resize_2560-54_126-640_640-640_640-length-8-stride-1-"
        "sub_8-tac-mc-batch_8-voc15-seq3k-fbb",
    ),
    "cityscapes": Archive(
        path="Cityscapes/log_seg_resnet_640_ctscp-train-resize_1280x640-640_640-640_640-sub_8-lac-"
        "batch_80-seq2k-voc8192-fbb-gdez.zip",
        title="streets, 19 classes",
        class_names=_CITY,
    ),
}
"""The archives by name; none of them could be opened when this was written."""


def cache_folder() -> Path:
    """Folder of the downloaded archives."""
    return user_cache_path("rleseg") / "published"


def archive_named(name: str) -> Archive:
    """The archive of that name.

    Raises
    ------
    CheckpointError
        If there is none; the message lists the names.
    """
    if name not in ARCHIVES:
        raise CheckpointError(f"there is no published model {name!r}, only {', '.join(ARCHIVES)}")
    return ARCHIVES[name]


def pull(
    name: str,
    out: Path | None = None,
    *,
    source: str | None = None,
    archive: Path | None = None,
    changes: Mapping[str, object] | None = None,
    class_names: tuple[str, ...] | None = None,
    bn_eval: BnEval = "auto",
    overwrite: bool = False,
) -> Generator[Downloaded, None, Path]:
    """Download a published model and write it as a model file.

    Parameters
    ----------
    name : str
        A key of `ARCHIVES`.
    out : Path, optional
        The model file; by default among the user's installed models, under that name.
    source : str, optional
        Address of a copy of the authors' repository.
    archive : Path, optional
        The archive, if it is on the disk already; then no network is needed.
    changes, class_names, bn_eval
        As for `import_checkpoint`.
    overwrite : bool
        Whether it may replace an older model file, which stays until the new one is whole.

    Yields
    ------
    Downloaded
        As in `download`.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    CheckpointError
        If there is no such model, it cannot be downloaded, or it is damaged or of another kind.
    """
    known = archive_named(name)
    out = out or user_models() / f"{name}.safetensors"
    given = [] if archive is None else [archive]
    check_outputs([model_output(out)], given, overwrite=overwrite)
    if archive is None:
        url = f"{source or _FILES}/{quote(known.path)}"
        archive = yield from download(
            url, cache_folder() / Path(known.path).name, sha256=known.sha256
        )
    cache_folder().mkdir(parents=True, exist_ok=True)
    with work_folder(cache_folder()) as work:
        checkpoint = unpack(archive, work.new)
        import_checkpoint(
            checkpoint,
            out,
            changes=changes,
            class_names=class_names or known.class_names,
            bn_eval=bn_eval,
            overwrite=overwrite,
            card={
                "name": name,
                "title": known.title,
                "source": f"{REPOSITORY}, {known.path}",
                "licence": LICENCE,
            },
        )
    return out


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip archive below `folder`, and return the folder of its only checkpoint.

    Raises
    ------
    CheckpointError
        If it is not a zip file, is damaged, has members that would be written outside of `folder`,
        too many of them, or more bytes than such an archive can hold or the disk has room for, or
        does not hold exactly one checkpoint. Sizes are checked before anything is written.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            for member in members:
                _check_member(archive, member)
            _check_sizes(archive, members, folder)
            for member in members:
                file.extract(member, folder)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a damaged table of contents ends in
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of the system, as on a full disk
        raise CheckpointError(
            f"{archive} is not a zip archive, or is damaged ({error}); delete it and fetch it again"
        ) from error
    found = sorted({path.parent for path in folder.rglob("*.index")})
    if len(found) != 1:
        raise CheckpointError(
            f"{archive} holds {len(found) or 'no'} checkpoints, expected one folder with a "
            "ckpt-N.index; unpack it and give one to `rleseg models import`"
        )
    return found[0]


def _check_sizes(archive: Path, members: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    """Raise before anything is unpacked that would fill the disk; weights hardly shrink in a zip.

    A member cannot hold more than it declares: what is beyond is not read.
    """
    n_bytes, packed = sum(member.file_size for member in members), archive.stat().st_size
    most = _MOST_SHRUNK * packed + _ALWAYS_FINE
    if len(members) > _MOST_MEMBERS or n_bytes > most:
        raise CheckpointError(
            f"{archive} of {packed / 1e6:,.1f} MB declares {len(members):,} members of "
            f"{n_bytes / 1e6:,.1f} MB, and a model has at most {_MOST_MEMBERS:,} of "
            f"{most / 1e6:,.1f} MB; do not use this file"
        )
    if len({member.filename for member in members}) < len(members):
        raise CheckpointError(
            f"{archive} has several members of one name, which no model has; do not use this file"
        )
    if n_bytes > (free := free_disk(folder)):
        raise CheckpointError(
            f"{archive} unpacks to {n_bytes / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB of the disk "
            f"of {folder} are free; make room there"
        )


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    """Raise for a name or a link that leads out of the folder."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    odd = {".."} & {*name.parts} or {":", "\0"} & {*name.as_posix()}
    if name.is_absolute() or odd or is_link:
        raise CheckpointError(
            f"{archive} has a member that leads out of its folder ({member.filename}), which no "
            "model has; do not use this file"
        )
