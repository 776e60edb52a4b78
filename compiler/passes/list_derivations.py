"""Plan -> its derivations: one for every derived number, in the order in which a person reads a plan."""

from __future__ import annotations

from moec.compiler.passes.explain_cost import explain_memory, explain_time
from moec.compiler.passes.explain_law import explain_effective_size, explain_loss
from moec.compiler.passes.explain_model import explain_flops, explain_parameters
from moec.compiler.passes.explain_training import (
    explain_batch,
    explain_budget,
    explain_chunk,
    explain_depth_routing,
    explain_losses,
    explain_mesh,
    explain_routing,
    explain_schedule,
)
from moec.compiler.plan import Derivation, Plan

EXPLANATIONS = (
    explain_parameters,
    explain_effective_size,
    explain_flops,
    explain_mesh,
    explain_batch,
    explain_chunk,
    explain_routing,
    explain_depth_routing,
    explain_losses,
    explain_budget,
    explain_loss,
    explain_schedule,
    explain_memory,
    explain_time,
)


def list_derivations(plan: Plan) -> tuple[Derivation, ...]:
    """Every number with its formula, inputs, source and the field that it comes from."""
    return tuple(derivation for explain in EXPLANATIONS for derivation in explain(plan))
