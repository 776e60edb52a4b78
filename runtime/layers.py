"""Runs the blocks of a model, one after the other or as a loop over stacked weights, with or without
rematerialisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
from flax import nnx
from jax import numpy as jnp

from moec.runtime.attention import KeyValues
from moec.runtime.batch import Batch, Report

Remat = Literal["none", "full", "save_dots", "names"]

SAVEABLE = ("attention_out", "ffn_hidden", "ffn_out", "expert_buffer", "expert_hidden", "expert_out")
"""The activations that remat policy `names` can keep or move to the host."""


class BlockOutput(NamedTuple):
    """What one block gives: the residual stream, its cache in generation, its router's report if it has one."""

    x_BSD: jax.Array
    cache: KeyValues | None
    router: Report | None


class LayersOutput(NamedTuple):
    """What a run of blocks gives. The reports are stacked [L_moe, …], None without routers.

    `caches` has one entry per block; after `scan_layers` one per block of the period, stacked over the repeats.
    """

    x_BSD: jax.Array
    caches: tuple[KeyValues, ...] | None
    routers: Report | None


class ModelOutput(NamedTuple):
    """What a model gives: hidden states after the last norm, caches, the routers' reports [L_moe, …]."""

    hidden_BSD: jax.Array
    caches: tuple[KeyValues, ...] | None
    routers: Report | None


def run_layers(
    blocks: Sequence[nnx.Module],
    x_BSD: jax.Array,
    batch: Batch,
    caches: tuple[KeyValues, ...] | None,
    *,
    remat: Remat = "none",
    save: tuple[str, ...] = (),
    offload: tuple[str, ...] = (),
) -> LayersOutput:
    """The blocks one after the other; `remat` is applied to each block by itself."""
    new_caches: list[KeyValues] = []
    reports: list[Report] = []
    for index, block in enumerate(blocks):
        graph, weights = nnx.split(block)
        cache = None if caches is None else caches[index]
        x_BSD, cache, report = _run_block(graph, remat, save, offload, weights, x_BSD, batch, cache)
        new_caches += [] if cache is None else [cache]
        reports += [] if report is None else [report]
    return LayersOutput(x_BSD, tuple(new_caches) if caches is not None else None, _stacked(reports))


def scan_layers(
    periods: nnx.Module,
    x_BSD: jax.Array,
    batch: Batch,
    caches: tuple[KeyValues, ...] | None,
    *,
    head: Sequence[nnx.Module] = (),
    remat: Remat = "none",
    save: tuple[str, ...] = (),
    offload: tuple[str, ...] = (),
) -> LayersOutput:
    """The `head` blocks one after the other, then the stacked periods in a loop; `remat` is applied to each period.

    `caches` has one entry per head block, then one per block of the period, stacked over the repeats.
    """
    n_head = len(head)
    head_caches = None if caches is None else caches[:n_head]
    first = run_layers(head, x_BSD, batch, head_caches, remat=remat, save=save, offload=offload)
    graph, weights = nnx.split(periods)

    def step(x: jax.Array, sliced: tuple[nnx.State, Any]) -> tuple[jax.Array, tuple[Any, Report | None]]:
        output = nnx.merge(graph, sliced[0])(x, batch, sliced[1])
        return output[0], (output[1], output[2])

    body = (
        step if remat == "none" else jax.checkpoint(step, prevent_cse=False, policy=remat_policy(remat, save, offload))
    )
    period_caches = None if caches is None else caches[n_head:]
    x_BSD, (new_caches, reports) = jax.lax.scan(body, first.x_BSD, (weights, period_caches))
    routers = None if reports is None else jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), reports)
    return LayersOutput(
        x_BSD,
        None if caches is None else (*(first.caches or ()), *new_caches),
        _joined(first.routers, routers),
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _run_block(
    graph: nnx.GraphDef,
    remat: Remat,
    save: tuple[str, ...],
    offload: tuple[str, ...],
    weights: nnx.State,
    x_BSD: jax.Array,
    batch: Batch,
    cache: KeyValues | None,
) -> BlockOutput:
    """A jit of its own, so that blocks that are alike are traced once; XLA inlines it."""

    def run(weights: nnx.State, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        return nnx.merge(graph, weights)(x_BSD, batch, cache)

    if remat != "none":
        run = jax.checkpoint(run, policy=remat_policy(remat, save, offload))
    return run(weights, x_BSD, batch, cache)


def remat_policy(remat: Remat, save: tuple[str, ...], offload: tuple[str, ...]) -> Callable[..., Any] | None:
    """What a rematerialised block keeps for the backward pass.

    `full` keeps its input alone, `save_dots` also the results of matmuls without batch dims, `names` what `save` names
    on the device and what `offload` names in host memory. Errors: ValueError for a name that no activation has.
    """
    unknown = sorted({*save, *offload} - {*SAVEABLE})
    if unknown:
        raise ValueError(f"no activation is named {', '.join(unknown)}; there are {', '.join(SAVEABLE)}")
    policies = jax.checkpoint_policies
    if remat == "full":
        return None
    if remat == "save_dots":
        return policies.dots_with_no_batch_dims_saveable
    if not offload:
        return policies.save_only_these_names(*save)
    return policies.save_and_offload_only_these_names(
        names_which_can_be_saved=list(save),
        names_which_can_be_offloaded=list(offload),
        offload_src="device",
        offload_dst="pinned_host",
    )


def _stacked(reports: list[Report]) -> Report | None:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *reports) if reports else None


def _joined(first: Report | None, rest: Report | None) -> Report | None:
    if first is None or rest is None:
        return first if rest is None else rest
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, rest)
