import pytest

from rleseg_core import product_of


def counting(closed):
    try:
        yield 1
        yield 2
        return "product"
    finally:
        closed.append(True)


def test_reports_are_told_and_the_product_is_returned():
    closed, seen = [], []
    assert product_of(counting(closed), seen.append) == "product"
    assert seen == [1, 2]
    assert closed == [True]


def test_run_is_closed_when_a_listener_fails():
    closed = []

    def fail(report):
        raise OSError("listener")

    with pytest.raises(OSError, match="listener"):
        product_of(counting(closed), fail)
    assert closed == [True]
