"""Grouped matmuls for Hopper GPUs, in Pallas's dialect for them (Mosaic GPU).

Each expert's rows are whole blocks, so a block is one expert's: the kernel is a dense one that looks up whose weights
a block takes. Nothing is masked, and its compile time does not grow with the number of experts. On each core one warp
group fetches and two multiply, each a half of a block of the output; then they go on to the core's next block.
Source: jax.experimental.pallas.ops.gpu.hopper_matmul_mgpu of JAX 0.11, for the pipeline, the order of the blocks and
how they are stored; Gale et al., MegaBlocks, arXiv 2211.15841, section 5, for blocks of one expert.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

BLOCK_ROWS: int = 128
"""What an expert's rows are multiples of: the rows of a block."""

WIDTH_MULTIPLE: int = 64
"""What the widths of the weights are multiples of: a row of a tile is 64 numbers, the 128 bytes of the widest swizzle.
Steps along the dim that is summed over, parts that are stored and the smallest blocks are as wide."""

LARGEST_COLUMNS = 256
"""Of a block: the sums of a half of 128 x 128 take 128 of the 232 registers of its threads. This, the steps in flight
and the order of the blocks are the fastest that were measured on one H100. Source: docs/log.md, 2026-11-28."""

STEPS_IN_FLIGHT = 4
"""Steps that are on their way to shared memory: 4 x 64 x (128 + 256) numbers are 192 of its 227 KiB."""

ROWS_TOGETHER = 4
"""Blocks below each other that are computed one after the other, so that what they share stays in the cache."""

FETCHING_REGISTERS = 40
"""Of a thread that fetches; the others share the rest. Source: `emit_pipeline_warp_specialized`."""

HOPPER_CORES = 132
"""Streaming multiprocessors of an H100 SXM or H200: where no GPU is there to ask."""

TILED = (plgpu.TilingTransform((8, WIDTH_MULTIPLE)), plgpu.SwizzleTransform(2 * WIDTH_MULTIPLE))
"""How numbers of 16 bits lie in shared memory."""


@partial(jax.jit, static_argnames="transposed")
def product(x_RK: jax.Array, w: jax.Array, counts_E: jax.Array, *, transposed: bool) -> jax.Array:
    """`x[r] @ w[expert of r]`, or by the transpose of w, in the type of x, sums in float32; zero in rows of no expert,
    which are not read.

    Shapes: x [R, K], w [E, K, N] ([E, N, K] where transposed), counts [E]; counts and R are multiples of `BLOCK_ROWS`,
    K and N of `WIDTH_MULTIPLE`.
    """
    (rows, summed), n_experts = x_RK.shape, w.shape[0]
    columns = w.shape[1] if transposed else w.shape[2]
    steps = summed // WIDTH_MULTIPLE
    block = Block(BLOCK_ROWS, _largest(columns, LARGEST_COLUMNS))
    grid = (rows // block.rows, columns // block.columns)
    expert_of_block = jnp.searchsorted(jnp.cumsum(counts_E // block.rows), jnp.arange(grid[0]), side="right")

    def work_of(index: jax.Array, expert_of_block: Any, x: Any, w: Any, y: Any) -> Work:
        row, column = plgpu.planar_snake(index, grid, 0, ROWS_TOGETHER)
        expert = expert_of_block[row]
        own_steps = jnp.where(expert < n_experts, jnp.int32(steps), jnp.int32(0))
        expert = jnp.minimum(expert, n_experts - 1)
        own_rows, own_columns = block.rows_at(row), block.columns_at(column)
        own_w = w.at[expert, own_columns] if transposed else w.at[expert, :, own_columns]
        return Work(x.at[own_rows], own_w, y.at[own_rows, own_columns], own_steps)

    return Kernel(
        name="grouped_matmul",
        block=block,
        n_blocks=grid[0] * grid[1],
        summed_dims=(1, 1 if transposed else 0),
        steps_in_flight=min(steps, STEPS_IN_FLIGHT),
        work_of=work_of,
    ).run(jax.ShapeDtypeStruct((rows, columns), x_RK.dtype), expert_of_block.astype(jnp.int32), x_RK, w)


@jax.jit
def outer(x_RD: jax.Array, y_RF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """The sum over each expert's rows of `x[r]` times `y[r]` [E, D, F], in the type of x, sums in float32."""
    (rows, d_in), (_, d_out), n_experts = x_RD.shape, y_RF.shape, counts_E.shape[0]
    block = Block(_largest(d_in, BLOCK_ROWS), _largest(d_out, LARGEST_COLUMNS))
    grid = (d_in // block.rows, d_out // block.columns)
    counts_E = counts_E.astype(jnp.int32)

    def work_of(index: jax.Array, starts: Any, steps: Any, x: Any, y: Any, total: Any) -> Work:
        blocks_of_expert = jnp.int32(grid[0] * grid[1])
        expert = lax.div(index, blocks_of_expert)
        row, column = plgpu.planar_snake(lax.rem(index, blocks_of_expert), grid, 0, ROWS_TOGETHER)
        own_rows, own_columns = block.rows_at(row), block.columns_at(column)
        # From the expert's first row on; its steps end before the rows do.
        summed = pl.ds(pl.multiple_of(starts[expert], BLOCK_ROWS), rows)
        out = total.at[expert, own_rows, own_columns]
        return Work(x.at[summed, own_rows], y.at[summed, own_columns], out, steps[expert])

    return Kernel(
        name="grouped_outer_product",
        block=block,
        n_blocks=n_experts * grid[0] * grid[1],
        summed_dims=(0, 0),
        steps_in_flight=STEPS_IN_FLIGHT,
        work_of=work_of,
    ).run(
        jax.ShapeDtypeStruct((n_experts, d_in, d_out), x_RD.dtype),
        jnp.cumsum(counts_E) - counts_E,
        counts_E // WIDTH_MULTIPLE,
        x_RD,
        y_RF,
    )


@dataclass(frozen=True, slots=True)
class Block:
    """What a core computes of the output at a time: a multiple of `WIDTH_MULTIPLE` each way.

    The warp groups that multiply take its left and right halves; the upper and lower ones where it is too narrow; and
    there is one such group where it is too small for both.
    """

    rows: int
    columns: int

    @property
    def n_parts(self) -> int:
        return 1 if self.rows == self.columns == WIDTH_MULTIPLE else 2

    @property
    def part(self) -> tuple[int, int]:
        """Rows and columns of a warp group's part."""
        if self.columns > WIDTH_MULTIPLE:
            return self.rows, self.columns // 2
        return self.rows // self.n_parts, self.columns

    def rows_of_part(self, part: jax.Array) -> Any:
        return slice(None) if self.part[0] == self.rows else pl.ds(part * self.part[0], self.part[0])

    def columns_of_part(self, part: jax.Array) -> Any:
        return slice(None) if self.part[1] == self.columns else pl.ds(part * self.part[1], self.part[1])

    def rows_at(self, index: jax.Array) -> Any:
        return pl.ds(index * self.rows, self.rows)

    def columns_at(self, index: jax.Array) -> Any:
        return pl.ds(index * self.columns, self.columns)


@dataclass(frozen=True, slots=True)
class Work:
    """References to what one block is the product of, and to the block; and the steps it takes, zero for zeros."""

    left: Any
    right: Any
    out: Any
    steps: Any


@dataclass(frozen=True, slots=True)
class Kernel:
    """A matmul by blocks of which each says what it is the product of. `summed_dims` are those of its two factors."""

    name: str
    block: Block
    n_blocks: int
    summed_dims: tuple[int, int]
    steps_in_flight: int
    work_of: Callable[..., Work]

    def run(self, out: jax.ShapeDtypeStruct, *operands: jax.Array) -> jax.Array:
        """The output; the last two operands are the factors, and those before say what `work_of` wants to know."""
        kernel = plgpu.kernel(
            self._on_core,
            out_type=out,
            grid=(min(self.n_blocks, _cores()),),
            grid_names=("core",),
            num_threads=self.block.n_parts + 1,
            thread_name="warp_group",
            compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
            kernel_name=self.name,
        )
        result: jax.Array = kernel(*operands)
        return result

    def _on_core(self, *refs: Any) -> None:
        """All blocks of one core, with memory that they use one after the other."""
        *_, left, right, out = refs

        def with_memory(fetched: Any, stored: Any) -> None:
            @plgpu.nd_loop((self.n_blocks,), collective_axes="core")
            def _(loop: plgpu.NDLoopInfo) -> None:
                self._compute(self.work_of(loop.index[0], *refs), fetched, stored)

        nothing = self._pipeline(self.steps_in_flight, lambda *_: None, lambda _: None)
        pl.run_scoped(
            with_memory,
            fetched=nothing.get_allocations(left, right),
            stored=plgpu.SMEM((self.block.n_parts, 2, WIDTH_MULTIPLE, WIDTH_MULTIPLE), out.dtype, transforms=TILED),
            collective_axes="warp_group",
        )
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)

    def _compute(self, work: Work, fetched: Any, stored: Any) -> None:
        """One block: every warp group runs this, and the pipeline tells them apart."""
        part = lax.axis_index("warp_group")
        own_rows, own_columns = self.block.rows_of_part(part), self.block.columns_of_part(part)

        def multiply(_: Any, left: Any, right: Any, sums: Any) -> Any:
            left = left.at[:, own_rows].transpose((1, 0)) if self.summed_dims[0] == 0 else left.at[own_rows]
            right = right.at[:, own_columns] if self.summed_dims[1] == 0 else right.at[own_columns].transpose((1, 0))
            plgpu.wgmma(sums, left, right)
            plgpu.wgmma_wait(0)
            return sums

        def sum_up(steps: Callable[[Any], Any]) -> None:
            def with_sums(sums: Any) -> None:
                steps(sums)
                _store(sums[...].astype(work.out.dtype), stored.at[part], work.out.at[own_rows, own_columns])

            pl.run_scoped(with_sums, plgpu.ACC(self.block.part, jnp.float32))

        self._pipeline(work.steps, multiply, sum_up)(work.left, work.right, allocations=fetched)

    def _pipeline(self, steps: Any, multiply: Callable[..., Any], sum_up: Callable[..., None]) -> Any:
        """Fetches what the steps multiply, and multiplies it."""

        def by_steps(width: int, summed_dim: int) -> plgpu.BlockSpec:
            in_shared_memory = partial(plgpu.BlockSpec, transforms=TILED, memory_space=plgpu.SMEM)
            if summed_dim == 0:
                return in_shared_memory((WIDTH_MULTIPLE, width), lambda step: (step, 0))
            return in_shared_memory((width, WIDTH_MULTIPLE), lambda step: (0, step))

        return plgpu.emit_pipeline_warp_specialized(
            multiply,
            grid=(steps,),
            in_specs=list(map(by_steps, (self.block.rows, self.block.columns), self.summed_dims)),
            max_concurrent_steps=self.steps_in_flight,
            compute_context=sum_up,
            memory_registers=FETCHING_REGISTERS,
            num_compute_wgs=self.block.n_parts,
            wg_axis="warp_group",
        )


def _store(part: jax.Array, stored: Any, out: Any) -> None:
    """A warp group's part to memory, tile by tile: one is made while the one before is on its way."""
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
    rows, columns = (range(0, size, WIDTH_MULTIPLE) for size in part.shape)
    for index, (row, column) in enumerate((row, column) for row in rows for column in columns):
        tile = slice(row, row + WIDTH_MULTIPLE), slice(column, column + WIDTH_MULTIPLE)
        plgpu.wait_smem_to_gmem(1, wait_read_only=True)
        stored[index % 2] = part[tile]
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(stored.at[index % 2], out.at[tile])


def _largest(size: int, largest: int) -> int:
    """The largest power of two up to `largest` that divides `size`."""
    return min(largest, size & -size)


def _cores() -> int:
    return getattr(jax.devices()[0], "core_count", HOPPER_CORES)
