"""What a layer costs that takes some tokens of a sequence alone.

Source: Raposo et al. (Mixture-of-Depths), arXiv 2404.02258, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


def taken_tokens(capacity: Fraction, seq_len: int) -> int:
    """Tokens of a sequence that a routed layer takes; a spec that passed the checks has no fraction of one."""
    return int(capacity * seq_len)


@dataclass(frozen=True, slots=True)
class Mix:
    """Some layers: `whole` of them take every token, `routed` the fraction `capacity`."""

    whole: int
    routed: int
    capacity: Fraction

    @property
    def layers(self) -> int:
        return self.whole + self.routed

    def sum(self, whole: Fraction, routed: Fraction) -> Fraction:
        """All layers' cost per token of the sequence, from that per token which passes through a layer."""
        return self.whole * whole + self.routed * self.capacity * routed

    @property
    def passes(self) -> Fraction:
        """Through how many of the layers a token goes on average."""
        return self.sum(Fraction(1), Fraction(1))
