import itertools

import pytest
import torch

from rleseg_core.errors import SchemeError
from rleseg_core.model import Sampling, StartGrid
from rleseg_core.model.choosing import GREEDY, Chooser

from .conftest import tiny_config

EOS, STOP, START, SHORT, LONG, V = 2, 3, 4, 8, 11, 14
GRID = StartGrid(offset=START, rows=2, cols=2, stops=((EOS, 2),))
CPU = torch.device("cpu")


def chooser(sampling: Sampling = GREEDY, starts: str = "scan") -> Chooser:
    config = tiny_config(
        vocab_size=V, grid=GRID, ramps=((SHORT, 3), (LONG, 3)), starts=starts, ends="scan"
    )
    return Chooser(config, sampling, CPU)


def logits(**shares: float) -> torch.Tensor:
    p = torch.zeros(1, V)
    for name, share in shares.items():
        p[0, int(name[1:])] = share
    return p.log()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (logits(_4=0.2, _5=0.2, _6=0.2, _2=0.4), 6),  # half of it has come by cell 2
        (logits(_4=0.1, _5=0.2, _2=0.4, _3=0.3), EOS),  # more often there is no further run
        (logits(_4=0.1, _5=0.2, _2=0.3, _3=0.4), STOP),
        (logits(_8=0.4, _11=0.3, _12=0.2, _13=0.1), LONG),  # the class with most, then its middle
        (logits(_8=0.1, _9=0.3, _10=0.3, _11=0.3), SHORT + 1),
        (logits(_1=1.0), 1),
    ],
)
def test_the_median_is_taken_of_starts_and_of_lengths(said: torch.Tensor, expected: int) -> None:
    token, logprob = chooser()(said)
    assert token.tolist() == [expected]
    assert logprob.item() == pytest.approx(said[0, expected].item())


def test_rows_are_chosen_alone_and_nothing_forbidden_is() -> None:
    generator = torch.Generator().manual_seed(1)
    said = 4 * torch.randn(200, V, generator=generator)
    forbidden = torch.rand(200, V, generator=generator) < 0.6
    forbidden[:, 0] &= ~forbidden.all(dim=1)
    said[forbidden] = -torch.inf
    tokens = chooser()(said)[0]
    assert said.gather(1, tokens[:, None]).isfinite().all()
    for row, token in zip(said, tokens.tolist(), strict=True):
        assert chooser()(row[None])[0].item() == token == by_hand(row.softmax(0).tolist())


def by_hand(p: list[float]) -> int:
    groups = [[4, 5, 6, 7, EOS, STOP], [8, 9, 10], [11, 12, 13], [0], [1]]
    group = max(groups, key=lambda ids: sum(p[k] for k in ids))
    half = sum(p[k] for k in group) / 2
    sums = itertools.accumulate(p[k] for k in group)
    token = next(k for k, total in zip(group, sums, strict=True) if total >= half)
    return token if token not in (EOS, STOP) else max((EOS, STOP), key=lambda k: p[k])


def test_other_rules_take_the_likeliest() -> None:
    said = logits(_4=0.2, _5=0.2, _6=0.2, _2=0.4)
    for other in (chooser(Sampling(rule="likeliest")), chooser(starts="pointer")):
        assert other(said)[0].tolist() == [EOS]
    assert chooser(Sampling(rule="median"), starts="pointer")(said)[0].tolist() == [6]
    with pytest.raises(SchemeError, match="no rule 'best'"):
        Sampling(rule="best")  # type: ignore[arg-type]
