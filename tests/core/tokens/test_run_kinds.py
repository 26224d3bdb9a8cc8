"""Every kind of run keeps to what `conformance` asks of it, in every scheme."""

import pytest

from rleseg_core.tokens.runs import RUN_KINDS

from .conformance import CHECKS, failure


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("runs", RUN_KINDS)
def test_kind_of_run_conforms(runs, check):
    assert failure(runs, check) is None
