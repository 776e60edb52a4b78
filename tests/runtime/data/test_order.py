"""The rule from a sample's number to its source and row."""

from __future__ import annotations

import numpy as np
import pytest

from moec.runtime.data.errors import DataError
from moec.runtime.data.order import interleave, permute, shuffled_rows


def keys(value: int, n: int) -> np.ndarray:
    return np.full(n, value, np.uint64)


@pytest.mark.parametrize("size", [*range(1, 70), 1000, 4096, 4097])
def test_a_permutation_hits_every_place_once(size: int) -> None:
    for key in (0, 1, 2**64 - 1):
        assert sorted(permute(np.arange(size), size, keys(key, size))) == list(range(size))


def test_permutations_of_different_keys_agree_no_more_than_chance() -> None:
    size = 10_000
    orders = [permute(np.arange(size), size, keys(key, size)) for key in range(8)]
    for index, order in enumerate(orders):
        for other in [np.arange(size), *orders[:index]]:
            assert (order == other).sum() < 10  # 1 is expected; 10 or more has a chance of one in a million
            assert abs(np.corrcoef(order, other)[0, 1]) < 0.05  # standard deviation 0.01


def test_each_place_of_three_takes_all_six_orders() -> None:
    seen = {tuple(permute(np.arange(3), 3, keys(key, 3)).tolist()) for key in range(200)}
    assert len(seen) == 6


def test_the_order_is_the_one_that_earlier_versions_gave() -> None:
    order = shuffled_rows(np.arange(12), 6, seed=3, source=1)
    assert order.tolist() == [2, 3, 4, 0, 1, 5, 4, 0, 1, 5, 2, 3]


def test_each_epoch_has_every_row_once_in_another_order() -> None:
    rows = shuffled_rows(np.arange(300), 100, seed=0, source=0).reshape(3, 100)
    np.testing.assert_array_equal(np.sort(rows), np.tile(np.arange(100), (3, 1)))
    assert len({tuple(epoch) for epoch in rows.tolist()}) == 3


@pytest.mark.parametrize("changed", [{"seed": 1}, {"source": 1}, {"seed": -1}, {"seed": 2**63}])
def test_seed_and_source_change_the_order(changed: dict[str, int]) -> None:
    plain = {"seed": 0, "source": 0}
    assert (shuffled_rows(np.arange(50), 50, **plain) != shuffled_rows(np.arange(50), 50, **(plain | changed))).any()


def test_a_sample_far_away_is_found_alone_as_in_a_run() -> None:
    run = shuffled_rows(np.arange(1000), 77, seed=5, source=2)
    assert all(shuffled_rows(np.array([n]), 77, seed=5, source=2)[0] == run[n] for n in (0, 76, 77, 999))


def test_one_source_is_its_own_schedule() -> None:
    source, number = interleave((2.5,)).locate(np.arange(10))
    assert source.tolist() == [0] * 10
    assert number.tolist() == list(range(10))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (0.7, 0.2, 0.1), (1.0, 1.0, 1.0), (0.9, 0.0995, 0.0005)])
def test_sources_come_in_proportion_at_every_moment_and_each_counts_up_by_one(weights: tuple[float, ...]) -> None:
    source, number = interleave(weights).locate(np.arange(25_000))
    for index, weight in enumerate(weights):
        share = weight / sum(weights)
        counts = np.cumsum(source == index)
        drift = counts - share * np.arange(1, 25_001)
        assert np.abs(drift).max() < 1 + 25_000 / 10_000 * len(weights)
        assert number[source == index].tolist() == list(range(counts[-1]))


def test_a_share_that_rounds_to_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"under 1/10,000 of the whole"):
        interleave((1.0, 1e-6))
