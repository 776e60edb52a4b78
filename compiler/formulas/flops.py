"""FLOPs of one token in one layer, forward. A multiply and an add are two."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, prod
from typing import Final

from moec.compiler.typed import Activation

GATED: Final[frozenset[Activation]] = frozenset(("swiglu", "geglu"))

BAND: Final = 64
KEPT_LENGTH: Final = 512
BLOCKS: Final = 8
SMALLEST_BLOCK: Final = 128
LARGEST_BLOCK: Final = 512
"""The kernel `blockwise`: queries of a band where scores are kept for the backward pass, the length up to which they
are, and beyond it the number of blocks and the tokens of one.

Source: the same names in moec.runtime.attention_kernels and attention_blocks; a test holds them together."""

ROUTER_PARTS: Final = 3
"""Products of bfloat16 in place of one of float32, for a router of bfloat16 tokens, forward and for each gradient.

Source: moec.runtime.router_logits."""


def matmul_flops(*dims: int) -> int:
    """One token times a matrix whose dims multiply to `dims`: 2 * weights.

    Source: Kaplan et al., arXiv 2001.08361, section 2.1.
    """
    return 2 * prod(dims)


def mean_visible_keys(seq_len: int, window: int | None) -> Fraction:
    """Keys that a token sees on average under a causal mask: S/2 without a window, w - w^2/(2 S) with one of w tokens.

    Rounding: the half token of the diagonal is left out, so that no window gives exactly half of the full square.
    Source: sum over positions of min(position, w), divided by S.
    """
    seen = min(seq_len, window) if window is not None else seq_len
    return seen - Fraction(seen * seen, 2 * seq_len)


def block_length(seq_len: int) -> int:
    """Tokens of a block of the kernel `blockwise`. Source: moec.runtime.attention_blocks.block_length."""
    return ceil(seq_len / max(min(BLOCKS, seq_len // SMALLEST_BLOCK), ceil(seq_len / LARGEST_BLOCK), 1))


def mean_computed_keys(seq_len: int, window: int | None, kernel: str) -> Fraction:
    """Keys per token that a kernel really multiplies with, masked ones included.

    `reference` takes all S; `blockwise` takes, for each band of queries, the keys from the first that its window
    leaves to the band's end, where the sequence is long in whole blocks; for fused kernels no more than what is seen
    is counted.
    Source: moec.runtime.attention_kernels.
    """
    if kernel == "reference":
        return Fraction(seq_len)
    if kernel != "blockwise":
        return mean_visible_keys(seq_len, window)
    makes_again = makes_scores_again(seq_len, kernel)
    rows, computed = block_length(seq_len) if makes_again else BAND, 0
    for start in range(0, seq_len, rows):
        stop = start + rows if makes_again else min(start + rows, seq_len)
        first = 0 if window is None else max(0, start - window + 1)
        computed += (stop - start) * (stop - (first // rows * rows if makes_again else first))
    return Fraction(computed, seq_len)


def makes_scores_again(seq_len: int, kernel: str) -> bool:
    """Whether the kernel `blockwise` keeps no scores. Source: moec.runtime.attention_kernels.blockwise."""
    return kernel == "blockwise" and seq_len > KEPT_LENGTH


def attention_flops(visible_keys: Fraction, n_heads: int, d_head: int) -> Fraction:
    """Scores and weighted values of one token: 2 matmuls of 2 * keys * N * H.

    Source: Chowdhery et al. (PaLM), arXiv 2204.02311, appendix B (12 L H Q T for training, there without the causal
    half).
    """
    return 4 * visible_keys * n_heads * d_head


def onehot_dispatch_flops(n_experts: int, capacity: int, d_model: int) -> int:
    """Dispatch and combine of one token as einsums with one-hot masks [S, E, C]: 2 matmuls of 2 * E * C * D.

    Source: Lepikhin et al. (GShard), arXiv 2006.16668, algorithm 2.
    """
    return 4 * n_experts * capacity * d_model


def matrices_of(activation: Activation) -> int:
    """Matrices of a feed-forward layer: gate, up and down, or up and down.

    Source: Shazeer, arXiv 2002.05202, section 2.
    """
    return 3 if activation in GATED else 2
