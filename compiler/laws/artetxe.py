"""What dense and Mixture-of-Experts models cost by the count of one paper, and how much faster one family is.

Not a law of loss: it compares families of models that were trained.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import exp, log


def dense_flops(n_tokens: float, n_layers: int, d_model: int, seq_len: int, vocab_size: int) -> float:
    """Training FLOPs with every activation computed twice: `96 T L D^2 (1 + S / 6 D + V / 16 L D)`.

    Source: Artetxe et al., arXiv 2112.10684, appendix on FLOPs (the 96 is 4 passes of 24 L D^2).
    """
    per_token = 96 * n_layers * d_model**2
    return n_tokens * per_token * (1 + seq_len / (6 * d_model) + vocab_size / (16 * n_layers * d_model))


def moe_flops(n_tokens: float, n_layers: int, d_model: int, seq_len: int, vocab_size: int) -> float:
    """The same with two of the experts in every second layer: `32 T L D^2` more.

    Source: Artetxe et al., arXiv 2112.10684, appendix on FLOPs.
    """
    dense = dense_flops(n_tokens, n_layers, d_model, seq_len, vocab_size)
    return dense + n_tokens * 32 * n_layers * d_model**2


def speed_up(quality: float, slow: Sequence[tuple[float, float]], fast: Sequence[tuple[float, float]]) -> float | None:
    """How many times the FLOPs of the `fast` family the `slow` one takes to reach `quality`; None outside what both
    have reached.

    Both are (FLOPs, quality above 0, such as perplexity) of trained models. Between neighbours the logarithm of FLOPs
    is linear in that of quality, and nothing is said beyond them.
    Source: Artetxe et al., arXiv 2112.10684, section 4 (definition in a secondary reading).
    Assumption: the interpolation; the paper's own was not found.
    """
    costs = _flops_at(quality, slow), _flops_at(quality, fast)
    return costs[0] / costs[1] if costs[0] is not None and costs[1] is not None else None


def _flops_at(quality: float, family: Sequence[tuple[float, float]]) -> float | None:
    """FLOPs at which the family reaches `quality`, None where it has not been seen to."""
    ordered = sorted((reached, flops) for flops, reached in family)
    qualities = [reached for reached, _ in ordered]
    if not ordered or not qualities[0] <= quality <= qualities[-1]:
        return None
    at = bisect_left(qualities, quality)
    if qualities[at] == quality:
        return ordered[at][1]
    (before, low), (after, high) = ordered[at - 1], ordered[at]
    share = log(quality / before) / log(after / before)
    return exp(log(low) + share * (log(high) - log(low)))
