"""Dense heads that learn before the tokens, convolutions in bf16, and runs of another length."""

from pathlib import Path

import pytest
import torch

from rleseg_core.checkpoints import ModelInfo, build_model, new_model
from rleseg_core.data import ImageStack, LabelledStack, SyntheticSequence
from rleseg_core.devices import multiplies_bf16
from rleseg_core.errors import TrainingError
from rleseg_core.model import Pix2Seq
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import (
    PatchSampler,
    SamplingOptions,
    TrainConfig,
    Trainer,
    read_reports,
    train,
)
from rleseg_core.training.data import TrainingData

CONFIG = TrainConfig(
    n_steps=4, batch_size=4, warmup_steps=0, validate_every=0, checkpoint_every=0, seed=1
)


def header(folder: Path, scheme: str = "iw", **settings: object) -> ModelInfo:
    return new_model(
        folder / "model.safetensors",
        size="test",
        scheme=preset(scheme),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=64,
        **settings,
    )


@pytest.fixture
def stack(sequence: SyntheticSequence) -> LabelledStack:
    return LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=sequence.classes,
        class_names=sequence.class_names,
        instances=sequence.instances,
    )


def trainer(folder: Path, stack: LabelledStack, info: ModelInfo, config: TrainConfig) -> Trainer:
    options = SamplingOptions(batch_size=config.batch_size, seed=config.seed)
    sampler = PatchSampler([stack], info.window_spec, info.mask_spec, options)
    return Trainer(info, config, sampler, folder, device="cpu")


def weights(model: Pix2Seq, part: str) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in model.get_submodule(part).parameters()])


@pytest.mark.parametrize(("scheme", "n_processes"), [("iw", 1), ("iw", 2), ("lac", 1)])
def test_the_decoder_is_left_alone_until_its_steps_begin(
    tmp_path: Path,
    stack: LabelledStack,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    n_processes: int,
) -> None:
    monkeypatch.setattr("rleseg_core.training.learner.n_processes", lambda: n_processes)
    config = TrainConfig(**(vars(CONFIG) | {"tokens_from": 0.5}))
    run = trainer(tmp_path, stack, header(tmp_path, scheme), config)
    decoder, backbone = weights(run.model, "decoder"), weights(run.model, "backbone")
    moved = []
    for _ in run.run():
        moved.append(not torch.equal(weights(run.model, "decoder"), decoder))
        assert not torch.equal(weights(run.model, "backbone"), backbone)
    assert moved == [False, False, True, True]


def test_without_dense_heads_nothing_can_learn_first(tmp_path: Path, stack: LabelledStack) -> None:
    config = TrainConfig(**(vars(CONFIG) | {"tokens_from": 0.5}))
    info = header(tmp_path, "lac", dense_classes=0)
    with pytest.raises(TrainingError, match="tokens_from lets the dense heads learn first"):
        trainer(tmp_path, stack, info, config)


@pytest.mark.parametrize(
    ("free", "match"),
    [
        ((), "all parts of the model are frozen"),
        (("decoder",), "all that they could learn with is frozen .backbone, "),
        (("projection", "decoder"), "is frozen"),
    ],
)
def test_frozen_parts_must_leave_something_to_learn(
    tmp_path: Path, stack: LabelledStack, free: tuple[str, ...], match: str
) -> None:
    info = header(tmp_path)
    parts = tuple(name for name, _ in build_model(info).named_children() if name not in free)
    config = TrainConfig(**(vars(CONFIG) | {"tokens_from": 0.5, "frozen": parts}))
    with pytest.raises(TrainingError, match=match):
        trainer(tmp_path, stack, info, config)


def test_run_that_stopped_among_the_dense_steps_resumes_to_the_same_losses(
    tmp_path: Path, stack: LabelledStack
) -> None:
    config = TrainConfig(**(vars(CONFIG) | {"tokens_from": 0.75, "checkpoint_every": 2}))
    data = TrainingData(stacks=[stack], validation=())

    def run(name: str, n_steps: int = 9) -> list[float]:
        (folder := tmp_path / name).mkdir(exist_ok=True)
        steps = train(header(folder), data, config, folder, device="cpu", resume=True)
        for _, _ in zip(range(n_steps), steps, strict=False):
            pass
        steps.close()
        return [report.loss for report in read_reports(folder)]

    whole = run("whole")
    assert len(run("stopped", 2)) == 2
    assert run("stopped") == whole
    assert len(whole) == 4


@pytest.mark.parametrize(("asked", "made"), [(7, 7), (1, 4)])
def test_a_run_can_be_given_another_length(
    tmp_path: Path, stack: LabelledStack, asked: int, made: int
) -> None:
    run = trainer(tmp_path, stack, header(tmp_path, "lac"), CONFIG)
    rates, lengths = [], []
    for report in run.run():
        rates.append(report.learning_rate)
        lengths.append(report.n_steps)
        if report.step == 2:
            run.change_length(asked)
    assert len(rates) == made
    assert lengths == [4, 4, *[made] * (made - 2)]
    assert rates == sorted(rates, reverse=True) or asked > 4
    assert rates[-1] < 0.3 * rates[0]


def test_convolutions_in_bf16_see_nearly_the_same(tmp_path: Path, stack: LabelledStack) -> None:
    model = trainer(tmp_path, stack, header(tmp_path), CONFIG).model
    images = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        exact, half = model.encode(images), model.encode(images, bf16_convolutions=True)
    for name in ("context", "mask_features", "dense", "affinities"):
        ours, theirs = getattr(half, name), getattr(exact, name)
        assert ours.dtype == theirs.dtype == torch.float32
        assert 0 < (ours - theirs).abs().max() < 0.1 * theirs.std(), name


@pytest.mark.parametrize(("choice", "used"), [(True, True), (False, False)])
def test_a_cpu_with_units_for_bf16_convolves_in_it_if_it_may(
    tmp_path: Path,
    stack: LabelledStack,
    monkeypatch: pytest.MonkeyPatch,
    choice: bool,
    used: bool,
) -> None:
    from rleseg_core.training import learner

    seen = []
    encode = Pix2Seq.encode

    def watched(model: Pix2Seq, images: torch.Tensor, *, bf16_convolutions: bool):
        seen.append(bf16_convolutions)
        return encode(model, images)

    monkeypatch.setattr(learner, "multiplies_bf16", lambda device: True)
    monkeypatch.setattr(Pix2Seq, "encode", watched)
    config = TrainConfig(**(vars(CONFIG) | {"bf16_convolutions": choice, "n_steps": 2}))
    list(trainer(tmp_path, stack, header(tmp_path, "lac"), config).run())
    assert seen == [used, used]


def test_versions_of_torch_that_do_not_say_what_a_cpu_can_are_taken_to_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bf16(torch.device("cpu"))


def test_settings_from_before_there_was_a_choice_compute_as_then() -> None:
    values = CONFIG.to_json()
    assert TrainConfig.from_json(values).bf16_convolutions
    del values["bf16_convolutions"]
    assert not TrainConfig.from_json(values).bf16_convolutions
