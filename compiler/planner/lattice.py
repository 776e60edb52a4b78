"""ModelSpec -> models of the same proportions in other sizes, with lengths that the mesh divides and the chip likes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, floor, lcm
from typing import Final

from moec.compiler.typed import ExpertsSpec, FfnSpec, MeshSpec, ModelSpec

WIDTH_STEP: Final = 128
"""Source: the matrix unit of a TPU and the tile of a tensor-core kernel are 128 wide."""
LEAST_TILE: Final = 16
"""Assumption: hidden widths in whole vector registers, where the catalogue has no tile."""
MOST_WIDTHS: Final = 24
DEPTHS: Final = (0.75, 0.9, 1.0, 1.1, 1.33)
"""Depths that are tried, against the one that keeps d_model / n_layers. Assumption: within a third of a proportion that
someone chose, depth hardly matters (Kaplan et al., arXiv 2001.08361, figure 5)."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What lengths are multiples of: `d_model` of `width`, hidden widths of `hidden`, key-value heads of `heads`."""

    width: int
    hidden: int
    heads: int


def grid_of(mesh: MeshSpec) -> Grid:
    """Axes that are `auto` are adapted to the model instead."""
    cut, sharded = (1 if (size := mesh.axes[axis]) == "auto" else size for axis in ("model", "fsdp"))
    tile = max(mesh.hardware.tile[1], LEAST_TILE)
    return Grid(lcm(WIDTH_STEP * cut, sharded), tile * cut, cut)


def widths_near(width: float, grid: Grid) -> Iterator[int]:
    """Multiples of the step from half of `width` to twice it, at most about MOST_WIDTHS, at least the nearest one."""
    low, high = max(1, ceil(width / 2 / grid.width)), max(1, floor(2 * width / grid.width))
    stride = max(1, (high - low) // MOST_WIDTHS)
    for step in range(low, high + 1, stride):
        yield step * grid.width


def models_near(model: ModelSpec, factor: float, grid: Grid) -> Iterator[ModelSpec]:
    """Models with about `factor` times the parameters of `model`, which grow as the cube of the width."""
    for d_model in widths_near(model.d_model * factor ** (1 / 3), grid):
        for n_layers in depths_at(model, d_model):
            yield scaled(model, d_model, n_layers, grid)


def depths_at(model: ModelSpec, d_model: int) -> tuple[int, ...]:
    """Whole periods of layer kinds after `first_dense`, near the depth that keeps the proportion."""
    every, first = (model.experts.every, model.experts.first_dense) if model.experts else (1, 0)
    wanted = model.n_layers * d_model / model.d_model
    periods = {max(1, round((share * wanted - first) / every)) for share in DEPTHS}
    return tuple(first + every * number for number in sorted(periods))


def scaled(model: ModelSpec, d_model: int, n_layers: int, grid: Grid) -> ModelSpec:
    """The model at another width and depth: heads keep their width, hidden layers their share."""
    share = d_model / model.d_model
    attention = model.attention
    n_kv_heads = nearest_multiple(attention.n_kv_heads * share, grid.heads)
    per_kv_head = attention.n_heads // attention.n_kv_heads
    return replace(
        model,
        scale="written",
        d_model=d_model,
        n_layers=n_layers,
        attention=replace(attention, n_heads=n_kv_heads * per_kv_head, n_kv_heads=n_kv_heads),
        ffn=_wider_ffn(model.ffn, share, grid),
        experts=_wider_experts(model.experts, share, grid),
    )


def _wider_ffn(ffn: FfnSpec | None, share: float, grid: Grid) -> FfnSpec | None:
    return None if ffn is None else replace(ffn, d_ff=nearest_multiple(ffn.d_ff * share, grid.hidden))


def _wider_experts(experts: ExpertsSpec | None, share: float, grid: Grid) -> ExpertsSpec | None:
    return None if experts is None else replace(experts, d_ff=nearest_multiple(experts.d_ff * share, grid.hidden))


def nearest_multiple(length: float, step: int) -> int:
    """At least one step."""
    return max(1, round(length / step)) * step
