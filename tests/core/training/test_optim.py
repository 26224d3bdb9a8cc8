import pytest
import torch

from rleseg_core.errors import TrainingError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.loss import token_loss, vocabulary_weights
from rleseg_core.training.optim import learning_rate, optimizer_tensors, restore_optimizer
from rleseg_core.training.reports import StepReport, logged, read_reports


def test_learning_rate_warms_up_and_falls():
    config = TrainConfig(n_steps=100, warmup_steps=10, learning_rate=1.0, final_share=0.1)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("bad", [{"n_steps": 0}, {"learning_rate": -1.0}, {"warmup_steps": -1}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(TrainingError, match=r"must|needs"):
        TrainConfig(**bad)


def test_settings_round_trip():
    config = TrainConfig(n_steps=7, segment_weights={"lac": 2.0}, subsample_rule="max")
    assert TrainConfig.from_json(config.to_json()) == config


def test_optimizer_state_round_trips_through_tensors():
    def make():
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1)

    def step(layer, optimizer):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    layer, optimizer = make()
    step(layer, optimizer)
    tensors, weights = optimizer_tensors(optimizer), layer.state_dict()
    other, other_optimizer = make()
    other.load_state_dict({name: value.clone() for name, value in weights.items()})
    restore_optimizer(other_optimizer, {name: value.clone() for name, value in tensors.items()})
    step(layer, optimizer)
    step(other, other_optimizer)
    assert torch.equal(layer.weight, other.weight)


def test_padding_weighs_nothing_in_the_loss():
    spec = MaskSpec(size=(4, 4), class_names=("a", "b"))
    vocab = Tokenizer.build(preset("lac"), spec).vocab
    weights = vocabulary_weights(vocab, 0.5, {"lac": 3.0})
    assert weights[vocab.pad] == 0
    assert weights[vocab.eos] == 0.5
    lac = vocab.segment("lac")
    assert (weights[lac.offset : lac.end] == 3).all()
    logits = torch.randn(1, 3, vocab.size)
    targets = torch.tensor([[5, vocab.eos, vocab.pad]])
    other = logits.clone()
    other[0, 2] = 100 * torch.randn(vocab.size)
    assert torch.equal(token_loss(logits, targets, weights), token_loss(other, targets, weights))
    with pytest.raises(TrainingError, match="no vocabulary segment 'shape'"):
        vocabulary_weights(vocab, 1.0, {"shape": 1.0})


def test_reports_are_logged_and_a_torn_line_is_left_out(tmp_path):
    def run():
        for step in (1, 2):
            yield StepReport(
                step=step, n_steps=2, loss=0.5, learning_rate=0.1, tokens_per_s=1.0, seconds=1.0
            )
        return tmp_path / "model"

    reports = list(logged(run(), tmp_path))
    with (tmp_path / "reports.jsonl").open("a") as log:
        log.write('{"step": 3, "n_st')
    assert read_reports(tmp_path) == reports
    assert read_reports(tmp_path / "nothing") == []
