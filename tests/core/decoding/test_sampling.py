import torch

from rleseg_core.decoding.sampling import GREEDY, choose, choose_or_keep

STOPS = torch.tensor([0])
SPREAD = torch.tensor([[0.4, 0.25, 0.2, 0.15]]).log()  # the end is the likeliest token, not likely
OVER = torch.tensor([[0.6, 0.2, 0.1, 0.1]]).log()


def test_first_whether_anything_follows_then_what() -> None:
    assert choose(SPREAD, GREEDY, None)[0].tolist() == [0]
    tokens, logprobs = choose(SPREAD, GREEDY, None, STOPS)
    assert tokens.tolist() == [1]
    torch.testing.assert_close(logprobs, SPREAD[:, 1])
    assert choose(OVER, GREEDY, None, STOPS)[0].tolist() == [0]


def test_what_cannot_follow_is_not_chosen() -> None:
    only_end = torch.tensor([[0.0, -torch.inf, -torch.inf, -torch.inf]])
    assert choose(only_end, GREEDY, None, STOPS)[0].tolist() == [0]
    no_end = torch.tensor([[-torch.inf, 0.0, 1.0, -1.0]])
    assert choose(no_end, GREEDY, None, STOPS)[0].tolist() == [2]


def kept(logits: torch.Tensor, drafted: int, leniency: float, stops: bool = True) -> bool:
    table = STOPS if stops else None
    tokens, logprobs = choose_or_keep(logits, torch.tensor([drafted]), leniency, table)
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[:, int(tokens)])
    return tokens.tolist() == [drafted]


def test_a_draft_is_kept_unless_another_is_more_probable_by_its_leniency() -> None:
    assert kept(SPREAD, 2, 0.3)  # log(0.25 / 0.2) = 0.22
    assert not kept(SPREAD, 2, 0.2)
    assert kept(SPREAD, 1, 0.0)
    # the end: all that could follow is 1.5 times as probable, log(1.5) = 0.41
    assert kept(SPREAD, 0, 0.42)
    assert not kept(SPREAD, 0, 0.40)
    # a start where the end was chosen: 1.5 times as probable as all that could follow
    assert kept(OVER, 1, 0.42)
    assert not kept(OVER, 1, 0.40)
    assert not kept(OVER, 3, 0.42)  # nor is it the best of those
    assert kept(SPREAD, 2, 0.7, stops=False)
    assert not kept(SPREAD, 2, 0.6, stops=False)


def test_impossible_drafts_are_not_kept() -> None:
    logits = SPREAD.clone()
    logits[0, 2] = -torch.inf
    assert not kept(logits, 2, 100.0)
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -1.0]])
    assert not kept(logits, 0, 100.0)
