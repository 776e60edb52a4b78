"""The one rule of order: from a sample's number to its source and row, without state.

The n-th sample of a run is the same on any number of hosts and after any restart, because it depends on n, the seed and
the number of rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from moec.runtime.data.errors import DataError

# Weights are rounded to this part of the whole. Assumption: a finer mixture than 0.01 % is not meant.
_MIXTURE_PARTS = 10_000

_ROUNDS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Interleave:
    """A short schedule of sources that repeats for ever.

    Shapes: `source`, `rank` [period]: the sample at a place of the schedule comes from that source and is its rank-th
    there; `per_period` [sources].
    """

    source: np.ndarray
    rank: np.ndarray
    per_period: np.ndarray

    def locate(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The source of each sample, and its number among the samples of that source. Shapes: [n] -> [n], [n]."""
        period, place = np.divmod(samples, len(self.source))
        source = self.source[place]
        return source, period * self.per_period[source] + self.rank[place]


def interleave(weights: tuple[float, ...]) -> Interleave:
    """The schedule that at every place takes the source that is furthest behind its share.

    Errors: DataError for a share so small that it rounds to nothing.
    """
    quotas = _quotas(np.array(weights, np.float64))
    period = int(quotas.sum())
    counts = np.zeros_like(quotas)
    source = np.zeros(period, np.int64)
    rank = np.zeros(period, np.int64)
    for place in range(period):
        chosen = int(np.argmax(quotas * (place + 1) - counts * period))
        source[place], rank[place] = chosen, counts[chosen]
        counts[chosen] += 1
    return Interleave(source, rank, quotas)


def _quotas(weights: np.ndarray) -> np.ndarray:
    """Whole parts in proportion to the weights, by largest remainder, in lowest terms."""
    exact = weights / weights.sum() * _MIXTURE_PARTS
    quotas = np.floor(exact).astype(np.int64)
    largest_remainders = np.argsort(quotas - exact, kind="stable")[: _MIXTURE_PARTS - quotas.sum()]
    quotas[largest_remainders] += 1
    if quotas.min() == 0:
        raise DataError(
            f"A mixture weight is under 1/{_MIXTURE_PARTS:,} of the whole. Raise it or leave the source out."
        )
    return quotas // gcd(*quotas.tolist())


def shuffled_rows(numbers: np.ndarray, n_rows: int, seed: int, source: int) -> np.ndarray:
    """The row of each sample of a source: each epoch of `n_rows` samples is a new permutation. Shapes: [n] -> [n]."""
    epochs, places = np.divmod(numbers, n_rows)
    keys = np.full(len(numbers), seed % 2**64, np.uint64)
    for part in (np.full(len(numbers), source), epochs):
        keys = _mix(keys) + part.astype(np.uint64)
    return permute(places, n_rows, _mix(keys))


def permute(places: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Where each place below `size` goes under the permutation that its key stands for. Shapes: [n], [n] -> [n], int64.

    A Feistel network over the next even power of two; results outside are sent on until they fall inside.
    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking over a Feistel network.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    moved = _feistel(places.astype(np.uint64), half_bits, keys)
    while (outside := moved >= size).any():
        moved[outside] = _feistel(moved[outside], half_bits, keys[outside])
    return moved.astype(np.int64)


def _feistel(values: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    mask = np.uint64(2**half_bits - 1)
    shift = np.uint64(half_bits)
    left, right = values >> shift, values & mask
    for number in range(_ROUNDS):
        left, right = right, left ^ (_mix(keys + _mix(right + (np.uint64(number) << shift))) & mask)
    return (left << shift) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each value. Source: splitmix64 (Steele, Lea and Flood 2014; Stafford's mixer 13)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
