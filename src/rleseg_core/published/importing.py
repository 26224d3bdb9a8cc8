"""Conversion of a checkpoint of the published implementation to a model file of ours."""

import glob
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rleseg_core.checkpoints import ModelInfo, build_model, model_output, save_checkpoint
from rleseg_core.errors import CheckpointError
from rleseg_core.model import ModelConfig
from rleseg_core.outputs import check_outputs
from rleseg_core.published.architecture import architecture
from rleseg_core.published.settings import Settings
from rleseg_core.published.tensorflow import find_index, read_tf_checkpoint
from rleseg_core.published.weights import to_state_dict
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

BnEval = Literal["auto", "moving", "batch"]
_TOKEN_TABLES = ("decoder.tokens.rows", "decoder.tokens.bias")
_SUPPORTED: dict[str, tuple[object, ...]] = {
    "model.use_cls_token": (None, False),
    "model.dec_proj_mode": (None, "mlp"),
    "model.resnet_sk_ratio": (None, 0),
}


def import_checkpoint(
    checkpoint: str | Path,
    out: Path,
    *,
    config: Path | None = None,
    changes: Mapping[str, object] | None = None,
    class_names: tuple[str, ...] | None = None,
    bn_eval: BnEval = "auto",
    card: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> ModelInfo:
    """Write a model file from a TensorFlow checkpoint of the published implementation.

    Parameters
    ----------
    checkpoint : str or Path
        As for `read_tf_checkpoint`: ``ckpt-N``, its index, or the folder.
    out : Path
        The model file.
    config : Path, optional
        Its ``config.json``, if that is not beside the checkpoint.
    changes : mapping, optional
        Values by dotted name, such as ``model.vocab_size``, that override the file's.
    class_names : tuple of str, optional
        Names of the foreground classes; by default those of the data set, if they are known.
    bn_eval : {'auto', 'moving', 'batch'}
        What batch normalisation uses in evaluation; auto: what the published code uses, which is
        moving averages if the backbone was frozen in training, else statistics of the batch.
    card : mapping, optional
        Name, source, licence and notes of the model, for people.
    overwrite : bool
        Whether it may replace an older model file, which stays until the new one is whole.

    Returns
    -------
    ModelInfo
        Header of the model file. A model that detects objects becomes a base model to train from:
        its weights, with new embeddings for binary masks of an eighth of the input side.

    Raises
    ------
    CheckpointError
        If the checkpoint or its settings are missing, damaged, of another kind of model, or do not
        match each other.
    SchemeError
        If the settings describe an impossible tokenization.
    OutputError
        If `out` is one of the files that are read, or exists.
    """
    index = find_index(checkpoint)
    config = config or index.with_name("config.json")
    parts = index.parent.glob(f"{glob.escape(index.stem)}.data-*")
    check_outputs([model_output(out)], [checkpoint, index, config, *parts], overwrite=overwrite)
    settings = Settings.read(config, changes)
    for name, values in _SUPPORTED.items():
        if settings.get(name) not in values:
            raise CheckpointError(
                f"{settings.path} has {name} = {settings.get(name)!r}, which our model does not "
                "have; only the published models for segmentation can be imported"
            )
    variables = read_tf_checkpoint(index, under="model/")
    model = architecture(settings, variables)
    if bn_eval != "auto":
        model = model.with_changes(bn_eval=bn_eval)
    weights = to_state_dict(variables, model)
    info = ModelInfo(
        path=out,
        model=model.to_json(),
        scheme={},
        mask_spec=MaskSpec(size=(1, 1), class_names=("object",)),
        window_spec=settings.window_spec(),
        step=_step(index),
        card={"name": index.parent.name, "source": str(index), "bn_eval": model.backbone.bn_eval}
        | dict(card or {}),
    )
    if settings.segments:
        largest = max((head.size for head in model.tokens.heads), default=model.tokens.vocab_size)
        names = class_names or settings.class_names()
        tokenizer, layout = settings.tokenizer(names, vocab_size=largest)
        info = replace(
            info,
            scheme=tokenizer.scheme.to_json(),
            mask_spec=tokenizer.spec,
            layout=asdict(layout),
        )
    else:
        info, weights = _base(info, model, weights)
    save_checkpoint(info, weights, overwrite=overwrite)
    return info


def _base(
    info: ModelInfo, model: ModelConfig, weights: dict[str, Tensor]
) -> tuple[ModelInfo, dict[str, Tensor]]:
    """A base model for binary masks with the weights of a detector; the authors' runs begin so."""
    side = max(1, model.image_size // 8)
    mask_spec = MaskSpec(size=(side, side), class_names=("object",))
    tokenizer = Tokenizer.build(preset("binary"), mask_spec)
    model = model.with_changes(vocab_size=tokenizer.vocab.size)
    info = replace(
        info,
        model=model.to_json(),
        scheme=tokenizer.scheme.to_json(),
        mask_spec=mask_spec,
        card=info.card | {"note": "weights of a detector: train it before it can segment"},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = build_model(info).state_dict()
    return info, weights | {name: fresh[name] for name in _TOKEN_TABLES}


def _step(index: Path) -> int:
    """The number of optimizer steps in the name of the file; 0 if it has none."""
    found = re.search(r"-(\d+)$", index.stem)
    return int(found[1]) if found else 0
