"""Plan -> derivations of memory, traffic and time on one device. Every formula can be worked out from its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from moec.compiler.formulas.memory import FLOAT32_BYTES, local_elements, optimizer_elements
from moec.compiler.formulas.roofline import peak_flops_per_second
from moec.compiler.passes.estimate_memory import moments, tensor_bytes
from moec.compiler.passes.explain_model import add_up
from moec.compiler.plan import Derivation, Number, Plan

ROOFLINE = "roofline: the longer of compute and memory per operation, collectives on top; not calibrated"


def explain_memory(plan: Plan) -> Iterator[Derivation]:
    """Bytes per device, part by part."""
    memory, axes = plan.memory, plan.mesh.axes
    by_role: dict[str, Number] = {}
    for tensor in plan.tensors:
        by_role[tensor.role] = int(by_role.get(tensor.role, 0)) + tensor_bytes(tensor, axes)
    trained = [tensor for tensor in plan.tensors if tensor.trainable]
    yield memory_row("params", memory.params, add_up(by_role), by_role, "weights cut by their shardings", "mesh.axes")
    one = sum(local_elements(tensor, axes) for tensor in trained)
    copies: Mapping[str, Number] = {
        "copies": memory.gradients // (FLOAT32_BYTES * one),
        "trained": one,
        "bytes_per_element": FLOAT32_BYTES,
    }
    why = "one float32 gradient per trained weight, and a sum over micro-batches where there are several"
    formula = "copies * trained * bytes_per_element"
    yield memory_row("gradients", memory.gradients, formula, copies, why, "batch.micro")
    kind = plan.run.optimizer.kind
    elements = sum(optimizer_elements(kind, tensor, axes) for tensor in trained)
    state: Mapping[str, Number] = {"elements": elements, "bytes_per_element": FLOAT32_BYTES}
    formula = "elements * bytes_per_element"
    yield memory_row("optimizer", memory.optimizer, formula, state, f"state of {kind} in float32", "optimizer.kind")
    held = moments(plan.run, plan.stack, plan.mesh, plan.batch, plan.tensors, plan.activations)
    parts: Mapping[str, Number] = {
        "batch": held.batch,
        "loss": held.loss,
        "layers": held.layers,
        "update": held.update,
        "gradients": memory.gradients,
    }
    why = f"the fullest moment beyond all gradients, at the loss or in the backward pass; remat {plan.run.remat.policy}"
    formula = "batch + max(loss, layers, update) - gradients"
    yield memory_row("activations", memory.activations, formula, parts, why, "remat.policy")
    total: Mapping[str, Number] = {
        "params": memory.params,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "activations": memory.activations,
    }
    yield memory_row("total", memory.total, add_up(total), total, "an estimate; `moec prove` asks the compiler", "mesh")
    whole: Mapping[str, Number] = {"total": memory.total}
    yield Derivation("hbm_per_device", memory.total, "bytes", "total", whole, "memory.total_bytes_per_device", "mesh")


def memory_row(
    part: str, value: int, formula: str, inputs: Mapping[str, Number], source: str, origin: str
) -> Derivation:
    """A row under the name that `moec plan --format json` gives it."""
    return Derivation(f"memory.{part}_bytes_per_device", value, "bytes", formula, inputs, source, origin)


def explain_time(plan: Plan) -> Iterator[Derivation]:
    """Seconds per step and per run, what is sent, and how well the chip is used."""
    step = plan.step_time
    causes: dict[str, Number] = {}
    for row in step.breakdown:
        causes[row.cause] = causes.get(row.cause, 0.0) + row.seconds
    yield Derivation("step_time.seconds", step.seconds, "seconds", add_up(causes), causes, ROOFLINE, "mesh")
    run: Mapping[str, Number] = {"steps": plan.budget.steps, "step_seconds": step.seconds}
    seconds = plan.budget.steps * step.seconds
    yield Derivation("train_seconds", seconds, "seconds", "steps * step_seconds", run, ROOFLINE, "budget")
    sent = sum(one.count * one.bytes for one in plan.collectives)
    by_op: dict[str, Number] = {}
    for one in plan.collectives:
        name = f"{one.op}_over_{one.axis}".replace("-", "_").replace("+", "_")
        by_op[name] = int(by_op.get(name, 0)) + one.count * one.bytes
    formula = add_up(by_op) or "0"
    yield Derivation(
        "sent_bytes_per_device", sent, "bytes", formula, by_op, "forward and backward of one step", "mesh.axes"
    )
    peak = peak_flops_per_second(plan.run.mesh.hardware, plan.run.model.dtype.compute)
    if peak:
        inputs: Mapping[str, Number] = {
            "flops_per_token": plan.flops.train_per_token,
            "tokens": plan.batch.tokens,
            "step_seconds": step.seconds,
            "peak": peak,
            "devices": plan.mesh.devices,
        }
        formula = "flops_per_token * tokens / (step_seconds * peak * devices)"
        yield Derivation("mfu", step.mfu, "", formula, inputs, "ideal training FLOPs over peak", "mesh.hardware")
