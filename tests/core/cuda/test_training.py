"""A run on the device learns as one on the CPU does, in every precision and with every loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION
from rleseg_core.checkpoints import build_model, build_tokenizer, load_checkpoint, new_model
from rleseg_core.data import ImageStack, LabelledStack, SyntheticConfig, synthesize
from rleseg_core.decoding import generate_tokens
from rleseg_core.model import Pix2Seq, model_config
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PRESETS, for_classes, preset
from rleseg_core.training import LAST, TrainConfig, TrainingData, train
from rleseg_core.training.batch import tokenize
from rleseg_core.training.memory import FittingStep
from rleseg_core.training.objective import Objective, Outputs
from rleseg_core.training.optim import begin_step, make_optimizer
from rleseg_core.training.sampling import patches_on

from ..training.test_overfitting import SHAPE, SIDE, four_windows, frames_of
from ..training.test_sampling import cells, sampler

CONFIG = TrainConfig(
    n_steps=12,
    batch_size=4,
    learning_rate=2e-3,
    warmup_steps=2,
    checkpoint_every=4,
    validate_every=6,
    seed=5,
)
PLAIN = replace(CONFIG, augment=NO_AUGMENTATION, precision="fp32")


def labelled(seed=0, n_frames=4, names=("ipsc", "dfc")):
    sequence = synthesize(SyntheticConfig(n_frames=n_frames, size=(96, 96), seed=seed))
    return LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=np.minimum(sequence.classes, len(names)),
        class_names=names,
        instances=sequence.instances,
    )


def begin(folder, device, config=CONFIG, *, scheme="lac", resume=False, **changes):
    n_frames = frames_of(scheme)
    names = ("ipsc",) if scheme == "binary" else ("ipsc", "dfc")
    info = new_model(
        folder / "model.safetensors",
        size="test",
        scheme=for_classes(preset(scheme), len(names)),
        mask_spec=MaskSpec(size=(16, 16), class_names=names, n_frames=n_frames),
        window_spec=WindowSpec(patch=48, patch_stride=48, n_frames=n_frames),
        max_tokens=48,
        **changes,
    )
    data = TrainingData(stacks=[labelled(0, names=names)], validation=[labelled(1, names=names)])
    return train(info, data, config, folder, device=str(device), resume=resume)


def product(run):
    reports = []
    while True:
        try:
            reports.append(next(run))
        except StopIteration as end:
            return reports, end.value


def losses(reports):
    return [report.loss for report in reports]


def test_patches_are_varied_as_on_the_cpu(device):
    quiet = replace(AUGMENTATIONS["strong"], noise=0)
    drawn = sampler(cells(), 32, 16, n_frames=2, augment=quiet).batch(0)
    ours, theirs = patches_on(drawn, device), patches_on(drawn, torch.device("cpu"))
    assert (ours.images.cpu() - theirs.images).abs().max() < 1e-3
    assert (ours.classes.cpu() != theirs.classes).float().mean() < 2e-3
    noisy = sampler(cells(), 32, 16).batch(0)
    one, again = (patches_on(noisy, device).images for _ in range(2))
    assert torch.equal(one, again)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_losses_are_those_of_the_cpu(norm, device, tmp_path):
    ours, _ = product(begin(tmp_path / "one", device, PLAIN, backbone_norm=norm))
    theirs, _ = product(begin(tmp_path / "two", "cpu", PLAIN, backbone_norm=norm))
    np.testing.assert_allclose(losses(ours), losses(theirs), rtol=5e-3)


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16", "fp32"])
def test_a_stopped_run_goes_on_in_every_precision(precision, device, tmp_path):
    if device.type == "cpu" and precision == "fp16":
        pytest.skip("there is no fp16 on the CPU")
    config = replace(CONFIG, precision=precision, ema=0.9)
    whole, path = product(begin(tmp_path / "whole", device, config))
    assert np.isfinite(losses(whole)).all()
    assert losses(whole)[-1] < losses(whole)[0]
    assert whole[5].validation
    run = begin(tmp_path / "halved", device, config)
    first = [next(run) for _ in range(5)]
    run.close()
    rest, _ = product(begin(tmp_path / "halved", device, config, resume=True))
    np.testing.assert_allclose(losses(first + rest), losses(whole), rtol=0.05)
    checkpoint = load_checkpoint(path)
    assert all(value.isfinite().all() for value in checkpoint.weights.values())


def test_a_run_of_the_device_goes_on_on_the_cpu_and_back(device, tmp_path):
    for n_steps, where in ((3, device), (3, "cpu"), (2, device)):
        run = begin(tmp_path, where, CONFIG, resume=True)
        assert all(np.isfinite(next(run).loss) for _ in range(n_steps))
        run.close()
    assert load_checkpoint(tmp_path / LAST).info.step == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"label_smoothing": 0.05, "corruption": 0.1},
        {"class_balancing": 0.5, "ordinal_label_smoothing": 0.1},
        {"loss": "focal"},
        {"loss": "logistic", "clip_norm": None},
        {"frozen": ("backbone",), "epsilon": "published"},
    ],
    ids=str,
)
def test_every_objective_can_be_learned(changes, device, tmp_path):
    config = replace(CONFIG, n_steps=3, **changes)
    reports, _ = product(begin(tmp_path, device, config, backbone_norm="batch"))
    assert np.isfinite(losses(reports)).all()


def test_shuffled_runs_can_be_learned(device, tmp_path):
    config = replace(CONFIG, n_steps=3, shuffle_runs=True)
    reports, _ = product(begin(tmp_path, device, config, starts="pointer"))
    assert np.isfinite(losses(reports)).all()


@pytest.mark.parametrize("scheme", PRESETS)
def test_every_scheme_can_be_learned(scheme, device, tmp_path):
    config = replace(CONFIG, n_steps=2, batch_size=2)
    reports, path = product(begin(tmp_path, device, config, scheme=scheme))
    assert np.isfinite(losses(reports)).all()
    assert path.is_file()


BACKBONES = {
    "resnet50": {},
    "vit-b": {
        "encoder_n_layers": 1, "encoder_dim": 32, "encoder_n_heads": 2, "decoder_dim": 32,
        "decoder_n_heads": 2, "decoder_n_layers": 1,
    },
    "swin-t": {
        "backbone_widths": (32, 64, 128, 256), "backbone_blocks": (2, 2, 2, 2), "encoder_dim": 32,
        "encoder_n_heads": 2, "encoder_n_layers": 1, "decoder_dim": 32, "decoder_n_heads": 2,
        "decoder_n_layers": 1,
    },
    "nano": {},
}  # fmt: skip


@pytest.mark.parametrize("size", BACKBONES)
def test_every_backbone_sees_what_it_sees_on_the_cpu(size, device):
    torch.manual_seed(0)
    config = model_config(size, vocab_size=40, max_tokens=16, image_size=64, **BACKBONES[size])
    model = Pix2Seq(config).eval()
    images = torch.rand(2, config.frames.n_frames, 3, 64, 64)
    tokens = torch.randint(3, 40, (2, 12))
    with torch.inference_mode():
        theirs = model(model.encode(images), tokens)
        model.to(device)
        ours = model(model.encode(images.to(device)), tokens.to(device)).cpu()
        with torch.autocast(device.type, torch.bfloat16):
            rough = model(model.encode(images.to(device)), tokens.to(device)).float().cpu()
    assert (ours - theirs).norm() / theirs.norm() < 1e-3
    assert (rough - theirs).norm() / theirs.norm() < 0.1


@pytest.mark.parametrize("scheme", ["lac", "binary", "tac"])
def test_four_masks_are_overfitted_in_bf16(scheme, device, tmp_path):
    n_frames, n_classes = frames_of(scheme), 1 if scheme == "binary" else 2
    info = new_model(
        tmp_path / "model.safetensors",
        size="test",
        scheme=for_classes(preset(scheme), n_classes),
        mask_spec=MaskSpec(
            size=(SIDE, SIDE), class_names=("a", "b")[:n_classes], n_frames=n_frames
        ),
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=n_frames),
        max_tokens=200,
        **SHAPE,
    )
    config = TrainConfig(n_steps=300, learning_rate=6e-3, warmup_steps=5)
    torch.manual_seed(0)
    model, tokenizer = build_model(info).to(device).train(), build_tokenizer(info)
    samples = four_windows(n_frames, n_classes)
    batch = tokenize(samples, tokenizer, 200, device)
    objective = Objective(tokenizer, model.config, config, device)
    optimizer = make_optimizer(model, config)
    tables = tokenizer.grammar.on(device)
    for step in range(config.n_steps):
        begin_step(optimizer, step, config)
        with torch.autocast(device.type, torch.bfloat16):
            memory = model.encode(batch.images)
            dense = None if model.dense is None else model.dense_logits(memory)
            logits = model(memory, batch.inputs)
        loss = objective(Outputs(logits, dense), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 19:
            model.eval()
            with torch.inference_mode():
                written = generate_tokens(model, model.encode(batch.images), tables, max_tokens=200)
            model.train()
            masks = np.stack([tokenizer.decode(tokens).classes for tokens in written])
            if np.array_equal(masks, samples.classes):
                return
    pytest.fail(f"{int((masks != samples.classes).sum())} of {masks.size} pixels are wrong")


def test_a_batch_too_large_for_the_device_is_learned_in_parts(device):
    class Hungry(torch.nn.Linear):
        def forward(self, x):
            if len(x) > 2:
                torch.empty(1 << 60, device=x.device)  # the device itself refuses
            return super().forward(x)

    torch.manual_seed(0)
    network = Hungry(6, 3).to(device)
    x = torch.rand(8, 6, device=device)
    step = FittingStep(network, torch.Tensor.backward)
    step((x,), lambda out: out.square().mean())
    assert step.n_parts == 4
    in_parts = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    torch.nn.functional.linear(x, network.weight, network.bias).square().mean().backward()
    for ours, whole in zip(in_parts, network.parameters(), strict=True):
        torch.testing.assert_close(ours, whole.grad)
