"""The newcomer's trial: a kind of run is one file and one line, and a wrong one is found out."""

import numpy as np
import pytest

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Scheme, Tokenizer
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.runs import RUN_KINDS, Change, GrammarRules, RunKind, Tiling

from .conformance import CHECKS, failure
from .gap_kind import Gap


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(RUN_KINDS, "gap", Gap)


def test_new_kind_writes_gaps():
    spec = MaskSpec(size=(2, 6), class_names=("ipsc", "dfc"))
    tokenizer = Tokenizer.build(Scheme(runs="gap", symbol="length"), spec)
    mask = np.array([[[0, 1, 1, 0, 0, 2], [2, 0, 0, 0, 1, 0]]])
    tokens = tokenizer.encode(mask)
    assert [tokenizer.vocab.text(token) for token in tokens.tolist()] == [
        *("gap 1", "length 2 · ipsc"),
        *("gap 2", "length 2 · dfc"),
        *("gap 3", "length 1 · ipsc"),
        "eos",
    ]
    assert tokenizer.start_grid is None
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, mask)


@pytest.mark.parametrize("check", CHECKS)
def test_new_kind_conforms(check):
    assert failure("gap", check) is None


class FromTheFirstPixel(Gap):
    def rules(self):
        return GrammarRules()


class FreeGap(Gap):
    independent = True


class GapAsPixel(Gap):
    def start_tokens(self, scheme):
        return scheme.start


class StartsOnDevice(Gap):
    def find_batch(self, planes, n_records, longest=False):
        return self._plain.find_batch(planes, n_records)


class StartsInBlocks(Gap):
    keep_in_blocks = RunKind.keep_in_blocks


class WaitingForValues(Gap):
    def find_batch(self, planes, n_records, longest=False):
        return super().find_batch(planes, max(n_records, int(planes.max())))


class GapsAcrossPlanes(Gap):
    def find(self, planes):
        runs, plane = self._plain.find(planes)
        before = np.append(0, (runs.start + runs.length)[:-1])[: plane.size]
        return runs._replace(start=np.maximum(runs.start - before, 0)), plane


class DraftOfStarts(Gap):
    def continued(self, guess, cursor, n_records):
        return self._plain.continued(guess, cursor, n_records)


class DraftWithoutCursor(Gap):
    def cursor(self, records):
        return super().cursor(records)._replace(position=0)


class ResolvedLikeForeground(Gap):
    def resolve(self, records, plane):
        return self._plain.resolve(records, plane)


class DecodedLikeForeground(Gap):
    def decoder(self):
        return self._plain.decoder()


class LengthsCrossLines(Gap):
    def resolve(self, records, plane):
        gap, length, symbol = records
        return Runs(np.cumsum(gap + length) - length, length, symbol)


class HeadIsDropped(Gap):
    def truncate(self, records, block, kept):
        last = np.arange(block.size)[block.size - kept.size :]
        return super().truncate(records, block, last)


class OneClassAlways(Gap):
    @classmethod
    def for_classes(cls, scheme, n_classes):
        return scheme


class TiledBlocks(Tiling):
    def start_tokens(self, scheme):
        return "implied"


class OpenChange(Change):
    truncate = RunKind.truncate


class OpenChangeInBlocks(Change):
    def keep_in_blocks(self, spans, kept):
        runs = super().keep_in_blocks(spans, kept)
        return runs._replace(symbol=runs.symbol.abs())


class ShortDraft(Change):
    def continued(self, guess, cursor, n_records):
        records = super().continued(guess, cursor, n_records)
        return Runs(*(column[: n_records - 2] for column in records))


class BoundlessChange(Change):
    def rules(self):
        return GrammarRules()


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (FromTheFirstPixel, "grammar_accepts_true_tokens"),
        (FreeGap, "runs_are_free_as_said"),
        (GapAsPixel, "start_grid_tells_where_runs_begin"),
        (StartsOnDevice, "batches_are_like_their_masks"),
        (StartsInBlocks, "batches_are_like_their_masks"),
        (WaitingForValues, "batches_wait_for_nothing"),
        (GapsAcrossPlanes, "masks_come_back"),
        (DraftOfStarts, "drafts_go_on_with_the_truth"),
        (DraftWithoutCursor, "drafts_go_on_with_the_truth"),
        (ResolvedLikeForeground, "masks_come_back"),
        (DecodedLikeForeground, "masks_come_back"),
        (LengthsCrossLines, "any_tokens_are_read_alike"),
        (HeadIsDropped, "budgets_keep_whole_runs"),
        (OneClassAlways, "other_numbers_and_ids_are_ready"),
        (TiledBlocks, "start_grid_tells_where_runs_begin"),
        (OpenChange, "budgets_keep_whole_runs"),
        (OpenChangeInBlocks, "batches_are_like_their_masks"),
        (ShortDraft, "drafts_go_on_with_the_truth"),
        (BoundlessChange, "walks_are_read_strictly"),
    ],
)
def test_wrong_kind_is_found_out(monkeypatch, kind, check):
    monkeypatch.setitem(RUN_KINDS, "wrong", kind)
    assert failure("wrong", check) is not None


def test_kind_without_a_scheme_does_not_conform(monkeypatch):
    class Never(Gap):
        check = classmethod(lambda cls, scheme, spec: Change.check(replaced(scheme), spec))

    def replaced(scheme):
        return Scheme(runs="wrong", start=None)

    monkeypatch.setitem(RUN_KINDS, "wrong", Never)
    assert failure("wrong", "masks_come_back") == "no scheme goes with it"
