"""How one weight is declared: its dims by letter give its shape, its sharding and its initial scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod, sqrt
from typing import Final

from moec.compiler.plan import DimSpec, TensorInit, TensorPlan, TensorRole
from moec.compiler.typed import ModelSpec

AXIS_OF_DIM: Final[Mapping[str, DimSpec]] = {
    "V": ("model",),
    "D": ("fsdp",),
    "N": ("model",),
    "G": ("model",),
    "H": (),
    "F": ("model",),
    "E": ("expert",),
}
"""The mesh axis that cuts a dim of a weight. Norms, biases over D and the routers are whole: too small to be worth
gathering.

Source: arXiv 2405.15052, table 1 (experts); Megatron-LM, arXiv 1909.08053, section 3 (`model`)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The class of the program that makes some weights: they share its layers, role and width F."""

    model: ModelSpec
    name: str
    layers: tuple[int, ...]
    role: TensorRole
    d_ff: int = 0
    active: Fraction = Fraction(1)

    def size(self, dim: str) -> int:
        """The length of a dim by its letter in docs/notation.md."""
        model, attention = self.model, self.model.attention
        sizes = {
            "V": model.vocab_size,
            "D": model.d_model,
            "N": attention.n_heads,
            "G": attention.n_kv_heads,
            "H": attention.d_head,
            "F": self.d_ff,
            "E": model.experts.n_experts if model.experts else 0,
        }
        return sizes[dim]

    def matrix(self, name: str, dims: str, contracted: str, *, output: bool = False) -> TensorPlan:
        """A weight that is multiplied with over its `contracted` dims; `output` ends a residual branch."""
        return self._tensor(name, dims, "normal", std=self.initial_std(contracted, output=output), decay=True)

    def table(self, name: str, dims: str, std: float) -> TensorPlan:
        """A weight that rows are taken from."""
        return self._tensor(name, dims, "normal", std=std, decay=True)

    def ones(self, name: str, dims: str) -> TensorPlan:
        """The scale of a norm."""
        return self._tensor(name, dims, "ones")

    def zeros(self, name: str, dims: str) -> TensorPlan:
        """A bias."""
        return self._tensor(name, dims, "zeros")

    def norm(self, name: str) -> Iterator[TensorPlan]:
        """The scale of a norm over D, with a bias where the norm is a LayerNorm."""
        yield self.ones(name, "D")
        if self.model.norm.kind == "layernorm":
            yield self.zeros(f"{name}_bias", "D")

    def initial_std(self, contracted: str, *, output: bool) -> float:
        """1/sqrt(fan-in) or the spec's own number, divided by sqrt(2 L) at the end of a residual branch if
        depth-scaled.

        Source: fan-in from LeCun et al., Efficient BackProp, 1998, section 4.6; depth from Radford et al., GPT-2,
        2019, section 2.3.
        """
        init = self.model.init
        std = init.std if init.kind == "normal" else 1 / sqrt(prod(self.size(dim) for dim in contracted))
        return std / sqrt(2 * self.model.n_layers) if output and init.depth_scaled else std

    def _tensor(self, name: str, dims: str, init: TensorInit, *, std: float = 0.0, decay: bool = False) -> TensorPlan:
        return TensorPlan(
            owner=self.name,
            name=name,
            dims=tuple(dims),
            shape=tuple(self.size(dim) for dim in dims),
            sharding=tuple(() if dims == "D" else AXIS_OF_DIM[dim] for dim in dims),
            dtype=self.model.dtype.params,
            init=init,
            std=std,
            decay=decay,
            trainable=True,
            layers=self.layers,
            role=self.role,
            active=self.active,
        )
