"""What starts a run: a header and labelled stacks, or a base model and labelled stacks."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from rleseg_core.checkpoints import ModelInfo, find_model, load_checkpoint, read_info
from rleseg_core.checks import check_fields
from rleseg_core.data.formats.sources import source_files
from rleseg_core.data.ids import names_in_order
from rleseg_core.errors import TrainingError
from rleseg_core.normalisation import Contrast
from rleseg_core.parallel.processes import process_rank
from rleseg_core.spec import ImageSide
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.data import TrainingData
from rleseg_core.training.diameters import diameters_taught
from rleseg_core.training.folder import check_run, is_own_model, lock_run, locked, unused_on_error
from rleseg_core.training.reports import LAST, StepReport, logged, reports_until, with_message
from rleseg_core.training.run_state import resumed_settings, saved_run
from rleseg_core.training.trainer import Trainer
from rleseg_core.training.transfer import adapt_classes


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions:
    """What a fine-tuned model is called, and at which size it looks at frames.

    Parameters
    ----------
    path : Path or None
        File of the new model; ``model.safetensors`` in the run folder by default.
    image_size : int or None
        I, the longer side of a frame after resizing, pixels; that of the base model by default.
        Choose it so that objects are about as large as those that the base model has seen.
    invert : bool or None
        Whether dark and bright are exchanged, for dark cells on bright ground, in the training and
        by the new model; as the base does by default.
    contrast : (float, float), 'auto' or None
        Grey values that become black and white, likewise; auto: those of each frame.
    card : mapping of str to object
        What people should know of the new model; its name and its base are there by default.
    """

    path: Path | None = None
    image_size: ImageSide | None = None
    invert: bool | None = None
    contrast: Contrast | None = None
    card: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, TrainingError)


def fine_tune(
    base: str | Path,
    data: TrainingData,
    config: TrainConfig,
    run_dir: Path,
    *,
    options: FineTuneOptions | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Generator[StepReport, None, Path]:
    """Fine-tune a model on labelled stacks.

    Parameters
    ----------
    base : str or Path
        A model file or the name of an installed model. If it has the same classes in another order,
        they are matched by name; if it has none of them, only the tokens of the classes start with
        fresh weights.
    data : TrainingData
        What to learn from.
    config : TrainConfig
        How to train.
    run_dir : Path
        Folder of the run: checkpoints, ``reports.jsonl``.
    options : FineTuneOptions, optional
        Path, card and image size of the new model.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    resume : bool
        Resume the run in `run_dir` if there is one. It keeps its own settings, whatever `config`
        says: with others it would not come to the same losses.
    overwrite : bool
        Whether an older model, and an older run in `run_dir`, may be replaced. The base never is.

    Yields
    ------
    StepReport
        One per step; closing the generator stops the run, with a checkpoint to resume from.

    Returns
    -------
    Path
        The new model.

    Raises
    ------
    TrainingError
        If there is nothing to learn from, the loss is no longer a number, or `run_dir` holds
        another run.
    DataError
        If some of the classes are those of the base and others are not.
    CheckpointError
        If the base cannot be read.
    OutputError
        If the new model is one of the files that are read, or exists.
    InUseError
        If another run is writing to `run_dir`.
    """
    options = options or FineTuneOptions()
    base = find_model(base)
    path = options.path or run_dir / "model.safetensors"
    if process_rank() == 0:  # it writes for all of several processes
        check_run(path, run_dir, [base], resume=resume, overwrite=overwrite)
    checkpoint = load_checkpoint(base)
    known = checkpoint.info.mask_spec.class_names
    names = names_in_order(known, data.class_names, f"the model {checkpoint.info.name}")
    data = data.in_order(names)
    info, weights = adapt_classes(checkpoint, names)
    window_spec, name = info.window_spec, checkpoint.info.name
    info = replace(
        info,
        path=path,
        step=0,
        training={},
        window_spec=window_spec.changed(options.image_size, options.invert, options.contrast),
        card={"name": f"{name}, fine-tuned", "base": name, **options.card},
    )
    return train(
        info,
        data,
        config,
        run_dir,
        weights=weights,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )


def train(
    info: ModelInfo,
    data: TrainingData,
    config: TrainConfig,
    run_dir: Path,
    *,
    weights: dict[str, Tensor] | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Generator[StepReport, None, Path]:
    """Train the model of a header (`rleseg_core.checkpoints.new_model`) on labelled stacks.

    `info.path` is the file of the finished model; `weights` are those it starts from, fresh ones by
    default. The other parameters, reports and errors are those of `fine_tune`.
    """
    data.check()
    lock = None
    if process_rank() == 0:
        lock = lock_run(run_dir)
        stacks = [*data.stacks, *data.replay, *(data.validation or ())]
        read = [file for stack in stacks for file in source_files(stack.images.path)]
        with unused_on_error(lock, run_dir):
            check_run(info.path, run_dir, read, resume=resume, overwrite=overwrite)
    with unused_on_error(lock, run_dir):
        run = _run(info, data, config, run_dir, weights, device, resume, overwrite)
    return run if lock is None else locked(run, lock)


def _run(
    info: ModelInfo,
    data: TrainingData,
    config: TrainConfig,
    run_dir: Path,
    weights: dict[str, Tensor] | None,
    device: str,
    resume: bool,
    overwrite: bool,
) -> Generator[StepReport, None, Path]:
    """The run, logged, in a folder that is locked."""
    resumed, kept = resume and (run_dir / LAST).is_file(), []
    if resumed:
        last = read_info(run_dir / LAST)
        saved, config = resumed_settings(last)
        kept = reports_until(run_dir, last.step, saved_run(last).report)
        info = replace(saved, path=info.path)
    info = replace(info, card={**info.card, "subsample_rule": config.subsample_rule})
    data = data.with_objects(info).split(info.window_spec.n_frames)
    if not resumed:
        info = _with_diameters(info, data)
    sampler = data.sampler(info, config)
    validation = data.validation_batches(info, config.subsample_rule)
    if resumed:
        trainer = Trainer.resume(run_dir, sampler, validation=validation, device=device)
        trainer.info = info
    else:
        trainer = Trainer(
            info, config, sampler, run_dir, validation=validation, weights=weights, device=device
        )
    trainer.overwrite = overwrite or (resumed and is_own_model(info.path, run_dir))
    run = with_message(trainer.run(), data.missing_classes_message())
    return logged(run, run_dir, kept=kept)


def _with_diameters(info: ModelInfo, data: TrainingData) -> ModelInfo:
    """The header with the diameters of the objects that are taught, in place of a base's."""
    taught = diameters_taught(data.stacks, info.window_spec)
    if taught is None:
        return replace(info, object_diameter=None, object_diameters=None)
    ends = (taught.low, taught.high)
    return replace(info, object_diameter=taught.median, object_diameters=ends)
