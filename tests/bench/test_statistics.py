from __future__ import annotations

import pytest

from bench.peers.statistics import medians, quantile, ratio


@pytest.mark.parametrize(
    ("part", "expected"), [(0, 1), (0.5, 2.5), (0.99, 3.97), (1, 4)], ids=["least", "median", "p99", "most"]
)
def test_a_quantile_lies_between_neighbours(part: float, expected: float) -> None:
    assert quantile([4, 1, 3, 2], part) == pytest.approx(expected)


def test_a_quantile_of_one_value_is_that_value() -> None:
    assert quantile([7], 0.99) == 7


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_medians_are_taken_over_the_rounds_that_have_the_figure() -> None:
    rounds = [{"rate": 10.0, "mb": 1.0}, {"rate": 90.0}, {"rate": 11.0}]
    assert medians(rounds) == {"rate": 11, "mb": 1}


def test_nothing_is_a_ratio_of_zero() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) is None
