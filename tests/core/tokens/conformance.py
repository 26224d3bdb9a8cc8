"""What every kind of run must do, in every scheme that it goes with.

Each check takes a `Case`, a tokenizer with some masks, and raises where the kind does not keep its
word. `failure` tells the first case that does not pass.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from rleseg_core.errors import DataError, SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import (
    BlockClosed,
    Draft,
    Grammar,
    MaskEnded,
    PublishedLayout,
    RunPainted,
    Scheme,
    Tokenizer,
    check,
    for_classes,
)
from rleseg_core.tokens.batch import encode_on_device

SIZE = (3, 5)
CHOICES = {
    "order": ("C", "F"),
    "time": ("volume", "class"),
    "lines": ("joined", "separate"),
    "start": ("flat", "coords", None),
    "symbol": (None, "token", "length"),
    "blocks": (None, "class", "instance"),
    "heads": ("one", "per_field"),
}


@dataclass(frozen=True)
class Case:
    """A tokenizer, and masks (N, S, S) of class and instance ids to write with it."""

    tokenizer: Tokenizer
    masks: tuple[tuple[np.ndarray, np.ndarray], ...]

    @cached_property
    def sequences(self) -> list[np.ndarray]:
        """The tokens of each mask."""
        return [self.tokenizer.encode(*mask) for mask in self.masks]

    @property
    def drops(self) -> tuple[str, ...]:
        """Which runs a budget may drop."""
        return ("tail", "shortest") if self.tokenizer.runs.independent else ("tail",)

    @property
    def budgets(self) -> tuple[int, ...]:
        """One for all masks, and some that are too small."""
        longest = max(tokens.shape[-1] for tokens in self.sequences)
        return (longest + 2, longest // 2 + 1, 1)


def spec_of(n_classes: int, n_frames: int, size: tuple[int, int] = SIZE) -> MaskSpec:
    names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    return MaskSpec(size=size, class_names=names, n_frames=n_frames)


def schemes_of(runs: str) -> Iterator[tuple[Scheme, MaskSpec]]:
    """Schemes of a kind, with the most classes and frames, up to 2, that each goes with.

    So many that any three choices that go together are together in one of them.
    """
    covered: set[tuple[tuple[str, str | None], ...]] = set()
    for scheme, spec in all_schemes_of(runs):
        choices = [(name, getattr(scheme, name)) for name in CHOICES]
        several = set(itertools.combinations(choices, 3))
        if not several <= covered:
            covered |= several
            yield scheme, spec


def all_schemes_of(runs: str) -> Iterator[tuple[Scheme, MaskSpec]]:
    """Every scheme of a kind that goes with masks of up to 2 classes and frames."""
    for choices in itertools.product(*CHOICES.values()):
        scheme = Scheme(runs=runs, **dict(zip(CHOICES, choices, strict=True)))
        for n_frames, n_classes in itertools.product((2, 1), (2, 1)):
            spec = spec_of(n_classes, n_frames)
            try:
                check(scheme, spec)
            except SchemeError:
                continue
            yield scheme, spec
            break


def cases_of(runs: str) -> Iterator[Case]:
    """A case for each scheme of a kind; every second one has a short longest run."""
    for index, (scheme, spec) in enumerate(schemes_of(runs)):
        tokenizer = Tokenizer.build(scheme, spec, vocab_limit=10**9)
        if index % 2 and tokenizer.max_length is not None:
            scheme = replace(scheme, max_length=2)
            tokenizer = Tokenizer.build(scheme, spec, vocab_limit=10**9)
        yield Case(tokenizer, tuple(masks_of(spec, seed=index)))
    for scheme, spec in itertools.islice(schemes_of(runs), 0, None, 7):
        small = replace(spec, size=(1, 1))
        yield Case(Tokenizer.build(scheme, small), tuple(masks_of(small, seed=0)))


def masks_of(spec: MaskSpec, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random and degenerate masks; every instance has one class."""
    rng = np.random.default_rng(seed)
    n_pixels = int(np.prod(spec.shape))
    first, last = np.zeros(n_pixels, int), np.zeros(n_pixels, int)
    first[0] = last[-1] = 1
    stretched = np.repeat(rng.integers(0, 4, n_pixels), 4)[:n_pixels]
    patterns = {
        "empty": np.zeros(n_pixels, int),
        "full": np.ones(n_pixels, int),
        "first pixel": first,
        "last pixel": last,
        "touching": np.repeat(rng.integers(1, 4, n_pixels), 3)[:n_pixels],
        "runs": stretched,
        "columns": stretched.reshape(spec.shape[::-1]).T.reshape(-1),
        "noise": rng.integers(0, 4, n_pixels),
    }
    for pattern in patterns.values():
        labels = rng.integers(1, spec.n_classes + 1, 4)
        numbers = rng.permutation(400)[:4] + 1  # what instances are called is up to who calls them
        labels[0] = numbers[0] = 0
        classes = labels[pattern].reshape(spec.shape).astype(np.uint8)
        yield classes, numbers[pattern].reshape(spec.shape).astype(np.int32)


def steps_of(tokens: np.ndarray) -> list[int] | list[list[int]]:
    return tokens.T.tolist()


def in_turns(tokens: np.ndarray) -> np.ndarray:
    """Tokens (L·K,) of a sequence (L,) or of K heads (K, L), in the order of the grammar."""
    return tokens.T.reshape(-1)


def painted(tokenizer: Tokenizer, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, MaskEnded]:
    """Class and instance ids that the events of tokens paint, and the last event."""
    classes = np.zeros(tokenizer.spec.shape, np.uint8)
    instances = np.zeros(tokenizer.spec.shape, np.int32)
    for event in tokenizer.events(steps_of(tokens)):
        tokenizer.paint(classes, event)
        if isinstance(event, BlockClosed):
            for run in event.runs:
                frames, rows, cols = tokenizer.run_pixels(run)
                seen = np.array(run.labels)[frames if len(run.labels) > 1 else frames * 0] > 0
                instances[frames[seen], rows[seen], cols[seen]] = event.index + 1
    assert isinstance(event, MaskEnded)
    return classes, instances, event


def masks_come_back(case: Case) -> None:
    """Decoding gives what was encoded, all at once and event by event; counts are right."""
    tokenizer = case.tokenizer
    for (classes, instances), tokens in zip(case.masks, case.sequences, strict=True):
        assert tokens.dtype == np.int64
        assert (tokens[..., -1] == tokenizer.vocab.eos).all()
        as_painted, ids, end = painted(tokenizer, tokens)
        np.testing.assert_array_equal(as_painted, classes)
        for strict in (True, False):
            decoded = tokenizer.decode(tokens, strict=strict)
            np.testing.assert_array_equal(decoded.classes, classes)
            assert decoded.n_skipped == 0
            if tokenizer.scheme.blocks == "instance":
                numbers = np.unique(np.append(instances, 0), return_inverse=True)[1][:-1]
                np.testing.assert_array_equal(decoded.instances, numbers.reshape(instances.shape))
                np.testing.assert_array_equal(decoded.instances, ids)
        counts = tokenizer.count(classes, instances)
        assert (counts.n_tokens, counts.n_runs) == (tokens.shape[-1], end.n_runs)
        assert (end.n_tokens, end.n_skipped, end.dropped) == (tokens.size, 0, ())
        for k, column in enumerate(np.atleast_2d(tokens)[:, :-1] if end.n_runs else []):
            if tokenizer.vocab.per_field:
                assert all(tokenizer.vocab.text(int(token), k) for token in column)


def accept(tokenizer: Tokenizer, grammar: Grammar, sequences: list[np.ndarray]) -> None:
    """Every token is allowed, and they lead to the end."""
    rows = [in_turns(tokens) for tokens in sequences]
    batch = np.full((len(rows), max(row.size for row in rows)), tokenizer.vocab.pad)
    for row, tokens in zip(batch, rows, strict=True):
        row[: tokens.size] = tokens
    tables = grammar.on("cpu")
    state = tables.start(len(rows))
    for at, column in enumerate(torch.as_tensor(batch.T.copy())):
        refused = ~tables.allowed(state).gather(1, column[:, None])[:, 0]
        assert not refused.any(), f"token {at} of {batch[refused.numpy()][0]}"
        state = tables.advance(state, column)
    assert (state[:, 0] == tokenizer.tokens_per_run).all()


def grammar_accepts_true_tokens(case: Case) -> None:
    """The grammar lets a model write every mask, whole or cut by a budget."""
    tokenizer, sequences = case.tokenizer, list(case.sequences)
    for mask, tokens in zip(case.masks, case.sequences, strict=True):
        for drop in case.drops:
            budget = tokens.shape[-1] * 2 // 3 + 1
            sequences.append(tokenizer.encode(*mask, budget=budget, drop=drop))
    accept(tokenizer, tokenizer.grammar, sequences)


def walks_are_read_strictly(case: Case) -> None:
    """Whatever the grammar allows ends, is read strictly, and paints what is decoded."""
    tokenizer, k = case.tokenizer, case.tokenizer.tokens_per_run
    tables = tokenizer.grammar.on("cpu")
    generator = torch.Generator().manual_seed(5)
    n_rows = 6
    n_steps = tokenizer.flattening.n_pixels * k + 1
    state, steps = tables.start(n_rows), []
    for step in range(2 * n_steps + 2 * k + 2):
        allowed = tables.allowed(state)
        assert allowed.any(1).all(), "nothing is allowed"
        weights = allowed.double()
        weights[:, tables.eos] *= 1e12 if step > n_steps else 0.05
        if step > n_steps:
            weights[:, tables.closes > 0] *= 1e12
        tokens = torch.multinomial(weights, 1, generator=generator)[:, 0]
        state = tables.advance(state, tokens)
        steps.append(tokens)
    assert (state[:, 0] == k).all(), "no end is reached"
    for row in torch.stack(steps, 1).numpy():
        sequence = row
        if tokenizer.vocab.per_field:
            sequence = row[: row.size // k * k].reshape(-1, k).T
        decoded = tokenizer.decode(sequence, strict=True)
        assert decoded.n_skipped == 0
        np.testing.assert_array_equal(painted(tokenizer, sequence)[0], decoded.classes)


def any_tokens_are_read_alike(case: Case) -> None:
    """Well-formed runs at random, and noise, paint event by event what is decoded at once."""
    tokenizer = case.tokenizer
    rng = np.random.default_rng(2)
    k, vocab, n_noisy = tokenizer.tokens_per_run, tokenizer.vocab, 0
    for tokens in case.sequences:
        values = [rng.integers(0, field.n_values, 4) for field in vocab.fields]
        table = np.stack(values, 1) + np.array(vocab.offsets)
        closing = [vocab.label_offset] * (tokenizer.blocks is not None)
        ends = [vocab.eos] * len(vocab.prompts)
        random = np.array([*table.reshape(-1), *closing, *ends])
        noisy = in_turns(tokens).copy()
        hit = rng.random(noisy.size) < 0.2
        noisy[hit] = rng.integers(-1, vocab.size + 1, hit.sum())
        for sequence in (random, noisy):
            if vocab.per_field:
                sequence = sequence.reshape(-1, k).T
            decoded = tokenizer.decode(sequence)
            classes, _, end = painted(tokenizer, sequence)
            np.testing.assert_array_equal(decoded.classes, classes)
            assert decoded.n_skipped == end.n_skipped
            assert decoded.classes.max() <= tokenizer.spec.n_classes
            try:
                strict = tokenizer.decode(sequence, strict=True)
            except DataError as error:
                assert "expected" in str(error)  # noqa: PT017
                n_noisy += 1
            else:
                np.testing.assert_array_equal(strict.classes, classes)
    assert n_noisy


def drafts_go_on_with_the_truth(case: Case) -> None:
    """A guess that is right is proposed word for word, whatever was written of it."""
    tokenizer = case.tokenizer
    if tokenizer.vocab.per_field:
        return
    for tokens in case.sequences:
        draft, true = Draft(tokenizer, tokens), tokens.tolist()
        for n_written in range(len(true)):
            proposed = draft.propose(true[:n_written], 5)
            assert proposed == true[n_written : n_written + 5], f"after {n_written} of {true}"


def drafts_go_on_after_another_beginning(case: Case) -> None:
    """After the beginning of another mask, only what the grammar allows is proposed."""
    tokenizer = case.tokenizer
    if tokenizer.vocab.per_field:
        return
    tables = tokenizer.grammar.on("cpu")
    for guess, written in itertools.pairwise(case.sequences):
        n_written = (len(written) - 1) // tokenizer.tokens_per_run * tokenizer.tokens_per_run // 2
        begun = written[:n_written].tolist()
        if tokenizer.blocks is not None or n_written % tokenizer.tokens_per_run:
            continue
        state = tables.start(1)
        for token in [*begun, *Draft(tokenizer, guess).propose(begun, 12)]:
            assert tables.allowed(state)[0, token], f"{guess} after {begun}"
            state = tables.advance(state, torch.tensor([token]))


def batches_are_like_their_masks(case: Case) -> None:
    """On a device as on the host and one by one, with every budget."""
    tokenizer = case.tokenizer
    tensors = [torch.as_tensor(np.stack(ids)) for ids in zip(*case.masks, strict=True)]
    counts = [tokenizer.count(*mask) for mask in case.masks]
    for drop, budget in itertools.product(case.drops, case.budgets):
        batches = (
            encode_on_device(tokenizer, *tensors, budget, drop),
            tokenizer.encode_batch(*tensors, budget=budget, drop=drop),
        )
        for row, mask in enumerate(case.masks):
            alone = tokenizer.encode(*mask, budget=budget, drop=drop)
            *_, end = tokenizer.events(steps_of(alone))
            for batch in batches:
                tokens, n_tokens = batch.tokens[row].numpy(), alone.shape[-1]
                np.testing.assert_array_equal(tokens[..., :n_tokens], alone)
                assert (tokens[..., n_tokens:] == tokenizer.vocab.pad).all()
                assert int(batch.n_tokens[row]) == n_tokens
                assert int(batch.n_dropped_runs[row]) == counts[row].n_runs - end.n_runs


def batches_wait_for_nothing(case: Case) -> None:
    """The host needs no value of the masks: these have none, and whatever asks for one raises."""
    tokenizer = case.tokenizer
    if (tokenizer.scheme.order, tokenizer.scheme.heads) != ("C", "one"):
        return  # what follows from these is no matter of values
    classes = torch.zeros((3, *tokenizer.spec.shape), dtype=torch.uint8, device="meta")
    instances = torch.zeros(classes.shape, dtype=torch.int32, device="meta")
    for drop in case.drops:
        made = tokenizer.encode_batch(classes, instances, budget=12, drop=drop)
        assert made.tokens.shape[-1] == 12


def budgets_keep_whole_runs(case: Case) -> None:
    """What fits says a part of the mask, and each run wholly or not at all."""
    tokenizer = case.tokenizer
    for mask, tokens in zip(case.masks, case.sequences, strict=True):
        runs = [run for run in tokenizer.events(steps_of(tokens)) if isinstance(run, RunPainted)]
        for drop, budget in itertools.product(case.drops, case.budgets):
            cut = tokenizer.encode(*mask, budget=budget, drop=drop)
            assert cut.shape[-1] <= budget
            if budget >= tokens.shape[-1]:
                np.testing.assert_array_equal(cut, tokens)
            kept = tokenizer.decode(cut, strict=True).classes
            assert (kept[kept > 0] == mask[0][kept > 0]).all()
            for run in runs:
                frames, rows, cols = tokenizer.run_pixels(run)
                where = mask[0][frames, rows, cols] > 0
                shown = kept[frames[where], rows[where], cols[where]] > 0
                if tokenizer.blocks is None:
                    assert shown.all() or not shown.any()


def runs_are_free_as_said(case: Case) -> None:
    """Independent runs may come in any order; others are refused that."""
    tokenizer, orders = case.tokenizer, []
    rng = np.random.default_rng(0)
    for (classes, instances), tokens in zip(case.masks, case.sequences, strict=True):
        try:
            shuffled = tokenizer.encode(classes, instances, rng=rng)
        except SchemeError as error:
            assert "; use" in str(error)  # noqa: PT017
            assert not tokenizer.runs.independent
            continue
        assert tokenizer.runs.independent
        assert sorted(steps_of(shuffled)) == sorted(steps_of(tokens))
        np.testing.assert_array_equal(tokenizer.decode(shuffled, strict=True).classes, classes)
        orders.append(shuffled)
    if orders:
        accept(tokenizer, tokenizer.grammar.unordered(), orders)


def start_grid_tells_where_runs_begin(case: Case) -> None:
    """Where there is a grid, it gives the first pixel of every run from the tokens.

    Implied starts are counted through the whole sequence.
    """
    tokenizer, grid = case.tokenizer, case.tokenizer.start_grid
    if grid is None:
        return
    stops = {token for first, size in grid.stops for token in range(first, first + size)}
    assert tokenizer.vocab.eos in stops
    for tokens in case.sequences:
        cursor = 0
        for event in tokenizer.events(steps_of(tokens)):
            if not isinstance(event, RunPainted):
                assert isinstance(event, MaskEnded) or set(event.tokens) <= stops
                continue
            assert not stops & set(event.tokens)
            first, second = (*event.tokens, -1)[0] - grid.offset, (*event.tokens, -1)[1]
            if grid.start == "coords":
                found = (0, first, second - grid.offset)
            else:
                position = first if grid.start == "flat" else cursor
                shape = (grid.n_frames, grid.rows, grid.cols)
                found = np.unravel_index(position, shape, order=grid.order)
            first_pixel = [int(axis[0]) for axis in tokenizer.run_pixels(event)]
            assert list(found) == first_pixel
            cursor += event.length


def other_numbers_and_ids_are_ready(case: Case) -> None:
    """The scheme has a version for any number of classes, and published ids or a refusal."""
    tokenizer = case.tokenizer
    for n_classes in (1, 2, 3):
        spec = spec_of(n_classes, tokenizer.spec.n_frames)
        check(for_classes(tokenizer.scheme, n_classes), spec)
    try:
        published = Tokenizer.build(
            tokenizer.scheme, tokenizer.spec, vocab_limit=10**9, layout=PublishedLayout()
        )
    except SchemeError as error:
        assert "use" in str(error)  # noqa: PT017
        return
    sequences = [published.encode(*mask) for mask in case.masks]
    for mask, tokens in zip(case.masks, sequences, strict=True):
        np.testing.assert_array_equal(published.decode(tokens, strict=True).classes, mask[0])
    accept(published, published.grammar, sequences)


CHECKS: dict[str, Callable[[Case], None]] = {
    check.__name__: check
    for check in (
        masks_come_back,
        grammar_accepts_true_tokens,
        walks_are_read_strictly,
        any_tokens_are_read_alike,
        drafts_go_on_with_the_truth,
        drafts_go_on_after_another_beginning,
        batches_are_like_their_masks,
        batches_wait_for_nothing,
        budgets_keep_whole_runs,
        runs_are_free_as_said,
        start_grid_tells_where_runs_begin,
        other_numbers_and_ids_are_ready,
    )
}


def failure(runs: str, name: str) -> str | None:
    """The first scheme of a kind that does not pass a check, and why; None if all do."""
    n_cases = 0
    for case in cases_of(runs):
        n_cases += 1
        try:
            CHECKS[name](case)
        except Exception as error:  # noqa: BLE001  # a kind may break in any way
            return f"{case.tokenizer.scheme} of {case.tokenizer.spec}: {error!r}"
    return None if n_cases else "no scheme goes with it"
