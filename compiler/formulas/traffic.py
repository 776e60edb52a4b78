"""Bytes that one device reads and writes in a training step besides the operands of matrix products."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

MOVES_PER_PASS: Final = 2
"""An array is written once and read once in each pass: forward, backward (there its gradient), and made again.

Assumption: XLA fuses what lies between two matrix products into one loop, which reads its inputs once."""


def between_products_bytes(made_bytes: int, passes: Fraction) -> float:
    """Of arrays that a forward pass makes, `made_bytes` of them, in `passes` passes."""
    return float(MOVES_PER_PASS * made_bytes * passes)


def dispatch_bytes(slot_bytes: int, choice_bytes: int, passes: Fraction) -> float:
    """Of rows to slots and back: slots are filled from tokens, and every choice is read back, in each pass.

    Source: moec.runtime.dispatch, whose gradients are the same two gathers the other way round.
    """
    return float(MOVES_PER_PASS * (slot_bytes + choice_bytes) * passes)


def update_bytes(gradients: int, weights: int, state: int) -> int:
    """Of the optimizer: gradients are read for their norm and for the update, weights and state read and written."""
    return 2 * (gradients + weights + state)
