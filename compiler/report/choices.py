"""The section on what the compiler chose: kernels and layouts, the planner's ranking, the sizes of an open scale."""

from __future__ import annotations

from moec.compiler.plan import Choice, Plan, ScaleChoice
from moec.compiler.report.document import Column, Paragraph, Section, Table
from moec.compiler.units import count, duration, exact, plural, size


def choices_section(plan: Plan) -> Section:
    """What the compiler chose and why."""
    run, routing = plan.run, plan.routing
    attention = "asked for" if run.model.attention.kernel != "auto" else f"auto on {run.mesh.hardware.platform}"
    if plan.kernels.documents is not None:
        attention += f"; told up to {plural(plan.kernels.documents, 'document')} of a sequence by their lengths"
    rows = [
        ("layers", "scan" if plan.stack.scan else "unrolled", plan.stack.reason),
        ("attention kernel", plan.kernels.attention, attention),
        ("loss chunk", f"{plan.kernels.cross_entropy_chunk:,} tokens", "head and loss are made for so many at once"),
    ]
    if plan.mesh.chosen:
        rows.insert(0, ("mesh", "auto axis", plan.mesh.chosen))
    if routing is not None:
        rows.append(("experts", f"{routing.dispatch}, {routing.grouped_matmul}", routing.reason))
    if run.batch.micro == "auto":
        rows.append(
            (
                "micro-batch",
                f"{plan.batch.micro_batches}",
                "auto: the whole batch at once, since the memory of this hardware is not known",
            )
        )
    rows += [(decision.path, decision.value, decision.why) for decision in plan.decisions]
    chosen = Table((Column("what"), Column("choice"), Column("why")), tuple(rows))
    return Section("What was chosen", (chosen, *_ranking(plan), *_sizes(plan)))


def _ranking(plan: Plan) -> tuple[Paragraph | Table, ...]:
    """The planner's best candidates, the chosen one first."""
    choices = plan.choices
    if choices is None:
        return ()
    asked = ", ".join(f"`{path}`" for path in choices.asked)
    text = (
        f"Chosen for {asked}: {plural(choices.layouts, 'layout')} tried, {choices.legal:,} legal, {choices.holding:,} "
        "hold the weights; ranked by predicted step time, ties by fewer axes, among what fits into 90 % of the memory."
    )
    columns = (
        Column("layout"),
        Column("micro-batch", "right"),
        Column("remat"),
        Column("step", "right"),
        Column("memory", "right"),
        Column("why"),
    )
    return Paragraph(text), Table(columns, tuple(_candidate(choice) for choice in choices.best))


def layout_of(choice: Choice) -> str:
    """`fsdp=8 expert=4`: the axes that are cut."""
    return " ".join(f"{axis}={length}" for axis, length in choice.axes.items() if length > 1) or "one device"


def _candidate(choice: Choice) -> tuple[str, ...]:
    return (
        layout_of(choice),
        f"{choice.micro_tokens:,}",
        choice.remat,
        duration(choice.seconds),
        size(choice.bytes_per_device),
        # What is wrong with a failed proof is long; plan.json has it.
        f"{choice.reason}; {choice.proof.partition(':')[0]}" if choice.proof else choice.reason,
    )


def _sizes(plan: Plan) -> tuple[Paragraph | Table, ...]:
    """The sizes that the law finds best, the chosen one first."""
    scale = plan.scale
    if scale is None:
        return ()
    low, high = (count(number) for number in scale.tied_params)
    text = f"`scale = auto`: the size that the law `{scale.law}` gives, of {plural(scale.tried, 'shape')} tried."
    if scale.ties:
        error = f"{scale.rmse:.2g}"
        text += f" {plural(scale.ties, 'other')}, {low} to {high} parameters, are ties: the law errs by {error}."
    columns = (
        Column("model"),
        Column("N of the law", "right"),
        Column("tokens", "right"),
        Column("loss", "right"),
        Column("FLOPs / 6N", "right"),
        Column("why"),
    )
    return Paragraph(text), Table(columns, tuple(_size(choice) for choice in scale.best))


def _size(choice: ScaleChoice) -> tuple[str, ...]:
    widths = [f"d_ff {choice.d_ff:,}"] if choice.d_ff else []
    widths += [f"experts {choice.expert_d_ff:,}"] if choice.expert_d_ff else []
    shape = f"{choice.n_layers} layers of {choice.d_model:,}, {', '.join(widths)}"
    loss = "-" if choice.loss is None else f"{choice.loss:.4f}"
    flops = exact(round(choice.flops_over_six_n, 3))
    return shape, count(choice.n_params), count(choice.tokens), loss, flops, choice.reason
