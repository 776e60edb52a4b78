"""RunSpec -> StackPlan: which layers have experts, which take some tokens alone, and how the program writes the stack.

Finds the repeated run of layer kinds, so that a scan over stacked weights can hold it. Does not look at widths.
"""

from __future__ import annotations

from typing import Final

from moec.compiler.passes.places import place
from moec.compiler.plan import LayerKind, LayerPlan, StackPlan
from moec.compiler.typed import DepthRoutingSpec, ExpertsSpec, RunSpec
from moec.spec.codes import depth_routing as depth_codes
from moec.spec.codes import model as codes
from moec.spec.diagnostics import Diagnostic

MIN_REPEATS: Final = 3
MIN_LAYERS: Final = 9
"""Assumption: below these, unrolled layers compile fast enough and XLA can schedule across them."""

MAX_LAYERS: Final = 4_096
"""Assumption: several times deeper than any transformer that was trained; it keeps the work of planning small."""


def arrange_layers(run: RunSpec) -> tuple[StackPlan | None, tuple[Diagnostic, ...]]:
    """The layers of the model in order, and whether they are scanned. Errors: MOE3104 to MOE3108, MOE3110,
    MOE5203, MOE5205.
    """
    if run.model.n_layers > MAX_LAYERS:
        return None, (codes.too_many_layers(place(run, "model.n_layers"), run.model.n_layers, MAX_LAYERS),)
    kinds = layer_kinds(run.model.n_layers, run.model.experts, run.model.depth_routing)
    told = (*check_kinds(run, kinds), *check_routed(run, kinds))
    if told:
        return None, told
    first_dense = run.model.experts.first_dense if run.model.experts else 0
    head, rest = kinds[:first_dense], kinds[first_dense:]
    period = find_period(rest)
    repeats = len(rest) // len(period)
    if run.layers.scan is True and repeats < 2:
        return None, (scan_error(run),)
    scan, reason = choose_scan(run, len(kinds), repeats)
    layers = tuple(LayerPlan(number, kind) for number, kind in enumerate(kinds, start=1))
    if not scan:
        return StackPlan(layers, kinds, (), 0, False, reason), ()
    return StackPlan(layers, head, period, repeats, True, reason), ()


def layer_kinds(
    n_layers: int, experts: ExpertsSpec | None, depth_routing: DepthRoutingSpec | None = None
) -> tuple[LayerKind, ...]:
    """Layer n (from 1) has experts when it comes after `first_dense` and leaves `offset` when divided by `every`; it is
    routed when it leaves the `offset` of depth routing, which no model has beside experts."""
    if experts is None and depth_routing is None:
        return tuple("dense" for _ in range(n_layers))
    if experts is None:
        return tuple("routed" if is_routed(n, depth_routing) else "dense" for n in range(1, n_layers + 1))
    return tuple(
        "moe" if n > experts.first_dense and n % experts.every == experts.offset else "dense"
        for n in range(1, n_layers + 1)
    )


def is_routed(layer: int, depth_routing: DepthRoutingSpec | None) -> bool:
    """Whether depth routing is in layer `layer`, counted from 1."""
    return depth_routing is not None and layer % depth_routing.every == depth_routing.offset


def find_period(kinds: tuple[LayerKind, ...]) -> tuple[LayerKind, ...]:
    """The shortest run of kinds that, repeated a whole number of times, gives `kinds`."""
    lengths = (n for n in range(1, len(kinds) + 1) if len(kinds) % n == 0)
    return next(kinds[:n] for n in lengths if kinds[:n] * (len(kinds) // n) == kinds)


def check_kinds(run: RunSpec, kinds: tuple[LayerKind, ...]) -> tuple[Diagnostic, ...]:
    """Errors where a kind of layer is asked for and cannot be, or is written and never used."""
    experts = run.model.experts
    told = []
    if experts is not None and experts.offset >= experts.every:
        told.append(
            codes.offset_too_large(
                place(run, "model.experts.offset"), experts.offset, experts.every, place(run, "model.experts.every")
            )
        )
    elif experts is not None and "moe" not in kinds:
        told.append(codes.no_moe_layer(place(run, "model.experts.every"), len(kinds), first_moe_layer(experts)))
    elif "dense" in kinds and run.model.ffn is None:
        first = kinds.index("dense") + 1
        told.append(codes.dense_layer_without_ffn(place(run, "model.experts.every"), first))
    elif set(kinds) == {"moe"} and run.model.ffn is not None:
        told.append(codes.unused_ffn(place(run, "model.ffn.d_ff"), place(run, "model.experts.every")))
    return tuple(told)


def check_routed(run: RunSpec, kinds: tuple[LayerKind, ...]) -> tuple[Diagnostic, ...]:
    """Errors where depth routing has no layer, or not one for itself."""
    routing = run.model.depth_routing
    if routing is None:
        return ()
    at, every = place(run, "model.depth_routing.offset"), place(run, "model.depth_routing.every")
    if run.model.experts is not None:
        experts_at = place(run, "model.experts.n_experts")
        return (depth_codes.beside_experts(place(run, "model.depth_routing.capacity"), experts_at),)
    if routing.offset >= routing.every:
        return (codes.offset_too_large(at, routing.offset, routing.every, every),)
    if "routed" not in kinds:
        return (depth_codes.no_routed_layer(every, len(kinds), routing.offset or routing.every),)
    return ()


def first_moe_layer(experts: ExpertsSpec) -> int:
    """The number of the first layer that would have experts, if there were enough layers."""
    after = experts.first_dense + 1
    return after + (experts.offset - after) % experts.every


def scan_error(run: RunSpec) -> Diagnostic:
    """The layers after `first_dense` are not a repeated run of kinds."""
    experts = run.model.experts
    every = experts.every if experts else 1
    first_dense = experts.first_dense if experts else 0
    return codes.layers_not_repeated(
        place(run, "layers.scan"), run.model.n_layers, first_dense, every, place(run, "model.n_layers")
    )


def choose_scan(run: RunSpec, n_layers: int, repeats: int) -> tuple[bool, str]:
    """Whether to scan, and why."""
    if run.layers.scan != "auto":
        return run.layers.scan, f"layers.scan = {str(run.layers.scan).lower()} is written"
    if run.mesh.hardware.platform == "cpu" and run.remat.policy != "none" and repeats > 1:
        return (
            True,
            "scanned: XLA on cpu may make unrolled layers again long before their turn, and remat saves nothing",
        )
    if run.mesh.hardware.platform == "cpu":
        return False, "unrolled: a scan on cpu saves compile time but keeps XLA from fusing across layers"
    if repeats < MIN_REPEATS or n_layers < MIN_LAYERS:
        return False, f"unrolled: {n_layers} layers with {repeats} repeats compile fast enough"
    return True, f"scanned: {repeats} equal repeats keep compile time flat"
