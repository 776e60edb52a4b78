"""The number of experts as routing laws see it, saturating at both ends."""

from __future__ import annotations


def saturated_experts(n_experts: float, start: float, end: float) -> float:
    """E_hat: `start` for one expert, about E in between, never past `end`.

    Source: Clark et al., arXiv 2202.01169, equation 6; used as it is by arXiv 2404.02852 and 2502.05172.
    """
    return 1 / (1 / (n_experts - 1 + 1 / (1 / start - 1 / end)) + 1 / end)
