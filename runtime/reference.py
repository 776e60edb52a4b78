"""What a Mixture-of-Experts layer computes, as plain loops over tokens in numpy: slow, and judge of the fast forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Choice:
    """One expert of one token and the weight of its output."""

    expert: int
    weight: float


@dataclass(frozen=True, slots=True)
class Network:
    """The weights of one expert; None where it has none."""

    w_gate: Array | None
    w_up: Array
    w_down: Array
    b_gate: Array | None = None
    b_up: Array | None = None
    b_down: Array | None = None


def choose(
    logits_E: Array,
    *,
    top_k: int,
    score: Literal["softmax", "sigmoid"],
    order: Literal["topk_then_score", "score_then_topk"],
    renormalize: bool = True,
    scale: float = 1.0,
    bias_E: Array | None = None,
) -> list[Choice]:
    """The choices of one token, best first; of equal experts the first comes first."""
    every_E = _scores(logits_E, score)
    compared_E = (logits_E if order == "topk_then_score" else every_E) + (0 if bias_E is None else bias_E)
    chosen = sorted(range(len(logits_E)), key=lambda expert: -compared_E[expert])[:top_k]
    weights = _scores(logits_E[chosen], score) if order == "topk_then_score" else every_E[chosen]
    total = weights.sum() if renormalize else 1.0
    return [Choice(expert, scale * float(weight) / total) for expert, weight in zip(chosen, weights, strict=True)]


def keep(choices: list[list[Choice]], *, n_experts: int, group_size: int, capacity: int) -> list[list[Choice]]:
    """The choices that find a slot: in each group first choices before second ones, each in token order."""
    kept: list[list[Choice]] = [[] for _ in choices]
    for start in range(0, len(choices), group_size):
        free = [capacity] * n_experts
        tokens = range(start, start + group_size)
        for rank in range(max(len(choices[token]) for token in tokens)):
            for token in tokens:
                _take_slot(choices[token][rank : rank + 1], free, kept[token])
    return kept


def apply(x_TD: Array, choices: list[list[Choice]], networks: list[Network], activation: str) -> Array:
    """The weighted sum of the outputs of each token's experts [T, D]."""
    y_TD = np.zeros_like(x_TD)
    for token, chosen in enumerate(choices):
        for choice in chosen:
            y_TD[token] += choice.weight * feed_forward(x_TD[token], networks[choice.expert], activation)
    return y_TD


def feed_forward(x_D: Array, network: Network, activation: str) -> Array:
    """One expert's output for one token."""
    up_F = _affine(x_D, network.w_up, network.b_up)
    gate_F = None if network.w_gate is None else _affine(x_D, network.w_gate, network.b_gate)
    return _affine(_activate(activation, gate_F, up_F), network.w_down, network.b_down)


def balance_loss(logits_TE: Array, choices: list[list[Choice]], score: Literal["softmax", "sigmoid"]) -> float:
    """E * sum_e f_e P_e over all tokens (Fedus et al. 2021, arXiv 2101.03961, equations 4 to 6)."""
    n_experts = logits_TE.shape[1]
    all_choices = [choice.expert for chosen in choices for choice in chosen]
    fractions_E = np.bincount(all_choices, minlength=n_experts) / len(all_choices)
    shares_TE = np.stack([_scores(logits_E, score) for logits_E in logits_TE])
    shares_TE = shares_TE / shares_TE.sum(axis=1, keepdims=True)
    return float(n_experts * (fractions_E * shares_TE.mean(axis=0)).sum())


def z_loss(logits_TE: Array) -> float:
    """The mean over tokens of logsumexp(logits)^2 (Zoph et al. 2022, arXiv 2202.08906, equation 5)."""
    return float(np.mean([math.log(np.exp(logits_E).sum()) ** 2 for logits_E in logits_TE]))


def _take_slot(choice: list[Choice], free: list[int], kept: list[Choice]) -> None:
    for one in choice:
        if free[one.expert]:
            free[one.expert] -= 1
            kept.append(one)


def _scores(logits: Array, score: Literal["softmax", "sigmoid"]) -> Array:
    if score == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _affine(x: Array, w: Array, bias: Array | None) -> Array:
    return x @ w if bias is None else x @ w + bias


def _activate(activation: str, gate: Array | None, up: Array) -> Array:
    forms = {
        "swiglu": lambda: gate / (1 + np.exp(-gate)) * up,
        "geglu": lambda: _gelu(gate) * up,
        "gelu": lambda: _gelu(up),
        "relu2": lambda: np.maximum(up, 0) ** 2,
    }
    return forms[activation]()


def _gelu(x: Array) -> Array:
    """The tanh form; its constant is Hendrycks and Gimpel's (2016, arXiv 1606.08415, section 2)."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
