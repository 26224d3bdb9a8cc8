"""Every family of schemes overfits four masks, and then decodes them exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, build_tokenizer, new_model
from rleseg_core.data import SampleBatch
from rleseg_core.decoding import generate_tokens
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PRESETS, for_classes, preset
from rleseg_core.training.batch import tokenize
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.objective import Objective, Outputs
from rleseg_core.training.optim import begin_step, make_optimizer

MOST_STEPS, SIDE = 199, 8
DECODED_EVERY, WORTH_DECODING = 5, 0.15  # steps, loss: before, the masks would be wrong
SHAPE = {
    "backbone_widths": (16, 16, 16),
    "backbone_blocks": (1, 1, 1),
    "encoder_dim": 32,
    "encoder_mlp_dim": 64,
    "decoder_dim": 64,
    "decoder_mlp_dim": 128,
    "decoder_n_layers": 1,
    "decoder_n_heads": 4,
}


def four_windows(n_frames: int, n_classes: int) -> SampleBatch:
    """Discs on noise, brighter in the second class, that move from frame to frame."""
    rng = np.random.default_rng(7)
    rows, cols = np.mgrid[:32, :32]
    images = rng.integers(20, 60, (4, n_frames, 3, 32, 32)).astype(np.uint8)
    classes, ids = np.zeros((2, 4, n_frames, SIDE, SIDE), np.int32)
    for b in range(4):
        for number in range(1, 3):
            centre, radius = rng.uniform(8, 24, 2), rng.uniform(4, 8)
            label = 1 + (number + b) % n_classes
            for n in range(n_frames):
                inside = np.hypot(rows - centre[0] - 2 * n, cols - centre[1]) < radius
                images[b, n, :, inside] += np.uint8(70 * label)
                covered = inside[2::4, 2::4]
                classes[b, n][covered], ids[b, n][covered] = label, number
    return SampleBatch(images, classes.astype(np.uint8), ids)


def frames_of(name: str) -> int:
    return 2 if "tac" in name or name.startswith("3d") else 1


@pytest.mark.parametrize("name", PRESETS)
def test_four_masks_are_overfitted(name: str, tmp_path: Path) -> None:
    n_frames = frames_of(name)
    n_classes = 1 if name == "binary" else 2
    names = ("a", "b")[:n_classes]
    info = new_model(
        tmp_path / "model.safetensors",
        size="test",
        scheme=for_classes(preset(name), n_classes),
        mask_spec=MaskSpec(size=(SIDE, SIDE), class_names=names, n_frames=n_frames),
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=n_frames),
        max_tokens=200,
        **SHAPE,
    )
    config = TrainConfig(n_steps=MOST_STEPS + 1, learning_rate=6e-3, warmup_steps=5)
    torch.manual_seed(0)
    model, tokenizer = build_model(info).train(), build_tokenizer(info)
    device = torch.device("cpu")
    samples = four_windows(n_frames, n_classes)
    batch = tokenize(samples, tokenizer, 200, device)
    objective = Objective(tokenizer, model.config, config, device)
    optimizer = make_optimizer(model, config)
    for group in optimizer.param_groups:
        group["fused"] = True  # one operation for all tensors, not ten for each
    tables = tokenizer.grammar.on(device)
    for step in range(MOST_STEPS):
        begin_step(optimizer, step, config)
        memory = model.encode(batch.images)
        dense = None if model.dense is None else model.dense_logits(memory)
        loss = objective(Outputs(model(memory, batch.inputs), dense), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        worth = step % DECODED_EVERY == 0 and float(loss.detach()) < WORTH_DECODING
        if worth or step == MOST_STEPS - 1:
            model.eval()
            with torch.inference_mode():
                written = generate_tokens(model, model.encode(batch.images), tables, max_tokens=200)
            model.train()
            masks = np.stack([tokenizer.decode(tokens).classes for tokens in written])
            if np.array_equal(masks, samples.classes):
                return
    wrong = int((masks != samples.classes).sum())
    pytest.fail(f"{wrong} of {masks.size} pixels are wrong after {MOST_STEPS} steps")
