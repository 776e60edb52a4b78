"""Plan -> the object that `moec plan --format json` prints and plan.json holds.

Numbers are exact: a fraction is an integer where it is whole, else the nearest double, with the fraction beside it in
the derivation's `exact`. Keys have a fixed order.
"""

from __future__ import annotations

import json
from fractions import Fraction

from moec.compiler.places import NOWHERE, Places
from moec.compiler.plan import (
    ActivationPlan,
    ChoicesPlan,
    CollectivePlan,
    Derivation,
    DimSpec,
    FlopCounts,
    Number,
    ParameterCounts,
    Plan,
    RoutingPlan,
    ScalePlan,
    StepTimePlan,
    TensorPlan,
)

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def plan_json(plan: Plan, places: Places = NOWHERE) -> str:
    """The text of plan.json, which ends with a line end."""
    return json.dumps(plan_object(plan, places), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def plan_object(plan: Plan, places: Places = NOWHERE) -> dict[str, Json]:
    """Every number of the plan; `places` say which line of the spec a derivation comes from."""
    routing = plan.routing
    return {
        "run": plan.run.name,
        "model": plan.run.model.name,
        "params": _params(plan.parameters),
        "flops_per_token": _flops(plan.flops),
        "tokens": plan.budget.tokens,
        "steps": plan.budget.steps,
        "tokens_per_param": plan.budget.tokens_per_param,
        "train_flops": number(plan.budget.train_flops),
        "warmup_steps": plan.budget.warmup_steps,
        "decay_steps": plan.budget.decay_steps,
        "batch_tokens": plan.batch.tokens,
        "batch": _batch(plan),
        "capacity": None if routing is None else routing.capacity,
        "routing": None if routing is None else _routing(routing),
        "mesh": _mesh(plan),
        "choices": _choices(plan.choices),
        "scale": _scale(plan.scale),
        "decisions": [{"field": row.path, "value": row.value, "why": row.why} for row in plan.decisions],
        "layers": _layers(plan),
        "kernels": {
            "attention": plan.kernels.attention,
            "documents": plan.kernels.documents,
            "cross_entropy_chunk": plan.kernels.cross_entropy_chunk,
        },
        "memory": _memory(plan),
        "hbm_per_device": plan.memory.total,
        "step_time": _step_time(plan.step_time),
        "collectives": [_collective(row) for row in plan.collectives],
        "shardings": {f"{row.owner}.{row.name}": _sharding(row.sharding) for row in plan.tensors},
        "tensors": [_tensor(row) for row in plan.tensors],
        "activations": [_activation(row) for row in plan.activations],
        "derivations": [_derivation(row, places) for row in plan.derivations],
    }


def number(value: Number) -> int | float:
    """An int where `value` is whole, else the nearest double."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return value


def _params(counts: ParameterCounts) -> Json:
    return {
        "total": counts.total,
        "active": counts.active,
        "embedding": counts.embedding,
        "by_role": dict(counts.by_role),
    }


def _flops(counts: FlopCounts) -> Json:
    return {
        "forward": number(counts.forward_per_token),
        "train": number(counts.train_per_token),
        "executed_train": number(counts.executed_train_per_token),
        "conventions": {name: number(value) for name, value in counts.conventions.items()},
        "operations": [
            {
                "operation": row.operation,
                "layers": row.layers,
                "ideal": number(row.ideal_flops_per_token),
                "executed": number(row.executed_flops_per_token),
                "formula": row.formula,
            }
            for row in counts.rows
        ],
    }


def _batch(plan: Plan) -> Json:
    batch = plan.batch
    return {
        "sequences": batch.sequences,
        "micro_batches": batch.micro_batches,
        "micro_sequences": batch.micro_sequences,
        "tokens_per_device": batch.tokens_per_device,
    }


def _routing(routing: RoutingPlan) -> Json:
    slots = routing.slots_per_token
    return {
        "group_size": routing.group_size,
        "groups": routing.groups,
        "capacity": routing.capacity,
        "slots_per_token": None if slots is None else number(slots),
        "dispatch": routing.dispatch,
        "grouped_matmul": routing.grouped_matmul,
        "reason": routing.reason,
    }


def _mesh(plan: Plan) -> Json:
    spec = plan.run.mesh
    return {
        "hardware": spec.hardware.name,
        "devices": plan.mesh.devices,
        "topology": None if spec.topology is None else list(spec.topology),
        "slices": spec.slices,
        "axes": dict(plan.mesh.axes),
        "chosen": plan.mesh.chosen,
    }


def _choices(choices: ChoicesPlan | None) -> Json:
    """What `auto` was chosen from; None where nothing was open."""
    if choices is None:
        return None
    return {
        "asked": list(choices.asked),
        "layouts": choices.layouts,
        "legal": choices.legal,
        "holding": choices.holding,
        "best": [
            {
                "axes": dict(choice.axes),
                "micro_tokens": choice.micro_tokens,
                "remat": choice.remat,
                "seconds": choice.seconds,
                "bytes_per_device": choice.bytes_per_device,
                "reason": choice.reason,
                "proof": choice.proof or None,
            }
            for choice in choices.best
        ],
    }


def _scale(scale: ScalePlan | None) -> Json:
    """What the size was chosen from; None where it was written."""
    if scale is None:
        return None
    return {
        "law": scale.law,
        "tried": scale.tried,
        "ties": scale.ties,
        "tied_params": list(scale.tied_params),
        "rmse": scale.rmse,
        "best": [
            {
                "d_model": choice.d_model,
                "n_layers": choice.n_layers,
                "n_heads": choice.n_heads,
                "d_ff": choice.d_ff,
                "expert_d_ff": choice.expert_d_ff,
                "n_params": choice.n_params,
                "tokens": choice.tokens,
                "loss": choice.loss,
                "flops_over_six_n": choice.flops_over_six_n,
                "reason": choice.reason,
            }
            for choice in scale.best
        ],
    }


def _layers(plan: Plan) -> Json:
    stack = plan.stack
    return {
        "kinds": [layer.kind for layer in stack.layers],
        "head": list(stack.head),
        "period": list(stack.period),
        "repeats": stack.repeats,
        "scan": stack.scan,
        "reason": stack.reason,
    }


def _memory(plan: Plan) -> Json:
    memory = plan.memory
    return {
        "params_bytes_per_device": memory.params,
        "gradients_bytes_per_device": memory.gradients,
        "optimizer_bytes_per_device": memory.optimizer,
        "activations_bytes_per_device": memory.activations,
        "total_bytes_per_device": memory.total,
        "hbm_bytes_per_device": memory.hbm,
        "remat_policy": plan.run.remat.policy,
    }


def _step_time(step: StepTimePlan) -> Json:
    return {
        "seconds": step.seconds,
        "overlapped_seconds": step.overlapped_seconds,
        "mfu": step.mfu,
        "calibrated": step.calibrated,
        "breakdown": [{"what": row.what, "cause": row.cause, "seconds": row.seconds} for row in step.breakdown],
    }


def _collective(row: CollectivePlan) -> Json:
    return {"op": row.op, "axis": row.axis, "count": row.count, "bytes": row.bytes, "what": row.what}


def _sharding(sharding: tuple[DimSpec, ...]) -> Json:
    """Per dim null, one axis, or a list of axes: the arguments of a PartitionSpec."""
    return [None if not axes else axes[0] if len(axes) == 1 else list(axes) for axes in sharding]


def _tensor(row: TensorPlan) -> Json:
    return {
        "name": f"{row.owner}.{row.name}",
        "dims": list(row.dims),
        "shape": list(row.shape),
        "sharding": _sharding(row.sharding),
        "dtype": row.dtype,
        "init": row.init,
        "std": row.std,
        "decay": row.decay,
        "trainable": row.trainable,
        "layers": list(row.layers),
        "role": row.role,
        "active": number(row.active),
    }


def _activation(row: ActivationPlan) -> Json:
    return {
        "name": row.name,
        "dims": list(row.dims),
        "shape": list(row.shape),
        "sharding": _sharding(row.sharding),
        "dtype": row.dtype,
    }


def _derivation(row: Derivation, places: Places) -> Json:
    place = places.of(row.origin)
    inexact = isinstance(row.value, Fraction) and row.value.denominator != 1
    return {
        "name": row.name,
        "value": row.value if isinstance(row.value, str) else number(row.value),
        **({"exact": str(row.value)} if inexact else {}),
        "unit": row.unit,
        "formula": row.formula,
        "inputs": {name: given if isinstance(given, str) else number(given) for name, given in row.inputs.items()},
        "source": row.source,
        "field": row.origin,
        "place": str(place) if place else None,
    }
