"""``rleseg train``: train a model on images and masks, from scratch or from another model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rleseg_core.cli.options import Reporting
from rleseg_core.cli.train.options import RunOptions, TrainOptions
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError
from rleseg_core.parallel.processes import Cluster, is_one_of_several, process_rank


def train(
    images: Annotated[Path, Parameter(help=f"One of: {input_kinds()}.")],
    masks: Annotated[Path, Parameter(help="Their masks: ids of classes, or ids of objects.")],
    /,
    options: TrainOptions,
    *,
    reporting: Reporting = Reporting(),
    arguments: Annotated[Sequence[str], Parameter(parse=False)],
) -> None:
    """Train a model on images and masks, from scratch or from another model.

    Parameters
    ----------
    images, masks : Path
        What it learns from.
    options : TrainOptions
        All that can be chosen.
    reporting : Reporting
        What is printed.
    arguments : sequence of str
        The whole command line, for the processes of several devices.
    """
    _check(options)
    several = is_one_of_several()
    if not several:
        _check_outputs(images, masks, options)
    reporting = replace(reporting, quiet=reporting.quiet or process_rank() > 0)
    from rleseg_core.cli.train import report

    if options.start.download and options.start.backbone is not None:
        report.watch_fetching(options.start.backbone, reporting.quiet)
    cluster = _cluster(options.run)
    if cluster.n_processes > 1 and not several:
        from rleseg_core.parallel.launch import launch

        launch(arguments, cluster, entry_point="rleseg_core.cli:main", device=options.run.device)
        return
    from rleseg_core.cli.train.begin import begin
    from rleseg_core.cli.train.plan import plan_run, tell_mappings

    plan = plan_run(images, masks, options)
    if process_rank() == 0:
        tell_mappings(plan, masks, options.data, reporting.quiet)
    path = report.watch_training(begin(plan, options), reporting.quiet)
    if several:
        from rleseg_core.parallel.launch import leave

        leave()
    if process_rank() == 0:
        report.print_result(path, plan.folder, options.select or "dice", reporting)


def _cluster(run: RunOptions) -> Cluster:
    """The processes asked for; SLURM numbers the nodes of whole allocations, one has no number."""
    given = dict(run.cluster)
    if given.get("n_nodes", 1) == 1:
        given.pop("node", None)
    return Cluster(**given)


def _check_outputs(images: Path, masks: Path, options: TrainOptions) -> None:
    """Refuse to train where the run or its model would destroy something."""
    from rleseg_core.checkpoints import find_model
    from rleseg_core.data.formats.sources import source_files
    from rleseg_core.training.folder import check_run

    sources = [images, masks, *(options.data.replay or ())]
    read = [file for path in sources for file in source_files(path)]
    if options.start.base is not None:
        read.append(find_model(options.start.base))
    if options.start.backbone is not None and Path(options.start.backbone).exists():
        read.append(Path(options.start.backbone))
    check_run(
        options.run.output,
        options.run.folder,
        read,
        resume=options.run.resume,
        overwrite=options.overwriting.overwrite,
    )


def _check(options: TrainOptions) -> None:
    """Refuse before the training what would be wrong after it, and options that mean nothing.

    Raises
    ------
    DataError
        If the output is no place for a model, or an option has no effect with --from.
    """
    output, start = options.run.output, options.start
    if output.suffix != ".safetensors":
        raise DataError(f"a model's name must end in .safetensors, got {output}")
    if start.base is None:
        return
    if start.backbone is not None:
        raise DataError("--backbone: the model of --from has its own; leave it out")
    given = {
        "--size": start.size,
        "--patch": options.window.get("patch"),
        "--stride": options.window.get("patch_stride"),
        "--mask-size": start.mask_size,
    }
    if options.n_frames == 1:
        given |= {
            "--scheme": options.scheme,
            **{f"--{name.replace('_', '-')}": True for name in options.scheme_fields},
            "--max-tokens": start.max_tokens,
            "--frame-stride": options.window.get("frame_stride"),
            "--fusion": None if start.fusion == "auto" else start.fusion,
            "--dense-frames": start.dense_frames,
        }
    if wrong := [option for option, value in given.items() if value is not None]:
        raise DataError(f"{', '.join(wrong)}: the model of --from decides; leave it out")
