"""``rleseg models import``: a model file from a checkpoint of the published implementation."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rleseg_core.checkpoints import user_models
from rleseg_core.cli.models.facts import ConversionOptions, print_written
from rleseg_core.cli.options import Reporting


def import_model(
    checkpoint: Path,
    /,
    *,
    config: Annotated[Path | None, Parameter(show_default="beside the checkpoint")] = None,
    options: ConversionOptions = ConversionOptions(),
    reporting: Reporting = Reporting(),
) -> None:
    """Make a model file from a checkpoint of the published implementation.

    Parameters
    ----------
    checkpoint : Path
        A file ckpt-N.index of TensorFlow, or the folder that holds it.
    config : Path or None
        The config.json of the checkpoint.
    options : ConversionOptions
        How it becomes a model file.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.published import import_checkpoint

    name = checkpoint.name if checkpoint.is_dir() else checkpoint.absolute().parent.name
    info = import_checkpoint(
        checkpoint,
        options.output or user_models() / f"{name}.safetensors",
        config=config,
        changes=options.config_values,
        class_names=options.names,
        bn_eval=options.bn_eval,
        overwrite=options.overwriting.overwrite,
    )
    print_written(info.path, reporting)
