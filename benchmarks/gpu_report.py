"""The results of benchmarks/gpu.py as Markdown, and the arithmetic behind its columns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

TITLES = {
    "roofline": "What the device reaches at most",
    "matmuls": "Grouped matmuls",
    "attention": "Attention",
    "norms": "Norms",
    "steps": "Training steps of emitted programs",
    "torch": "The same models on torch",
}
NOT_CLAIMED = """\
What is not claimed: other shapes, other devices, more than one of them; that a difference smaller than the quartiles is
more than noise; that models learn anything from random tokens. Programs run one after the other, not in turns, for
their memory does not fit side by side; with time left all are timed again in the same order, and their repetitions are
put together. The two routings of a program take turns, burst by burst."""
ROOFLINE_NOTE = """\
A product of square matrices of 8,192 in bfloat16, and a copy of 2 GiB whose bytes count read and written, on random
numbers. Times of kernels, here and below, are those of the device's own clock, by JAX's profiler: 20 calls each. The
product without a pause is timed by the host after it ran for seconds, when the GPU is as warm as in training."""
KERNEL_NOTE = """\
FLOPs are those of the rows that have an expert; empty slots count nothing. An error is that of the worst row against
the reference in float32. `uneven` loads are drawn from a Dirichlet distribution of concentration 20; `batched` has as
many slots for each expert as the busiest needs; with loads of `one` the first expert gets all, the others are empty."""
ATTENTION_NOTE = """\
`cudnn` is what programs call: documents by their lengths where there are few enough; `cudnn_by_mask` is the other way,
which programs take where a sequence has more documents than they may tell (`cudnn_of_more`).
FLOPs are those of the pairs of tokens that see each other (the causal half, the own document), twice as many backward
as forward; nothing counts twice that a kernel computes again. An error is that of the worst head."""
NORM_NOTE = """\
The kernels of `runtime/triton_norm.py`. Bytes are those of arrays of the residual stream, each once: what a norm reads
and writes, what the sum before it does besides, and, of the gradients, the rows, two slopes and the gradient. An error
is that of the worst row against `rms_norm` in float32; that of the scale's gradient is among them."""
STEP_NOTE = """\
Steps are timed in bursts of 2, the host waiting for the device after each burst. MFU is the plan's
`flops_per_token.train` (what the mathematics needs: active weights, the causal half of attention, no empty slots,
nothing computed twice) times the tokens of a step, over its seconds and the chip's peak. Peak memory is that of the
device's allocator in the whole process; memory by the compiler is what the compiled step needs. `random` routing is
that of a freshly drawn router on random tokens, trained while it is timed; `balanced` overrules it: token t takes
experts t K to t K + K - 1, modulo E. `busiest` is the fullest expert's load over the mean in the worst layer, in the
last step."""
PARTS_NOTE = """\
One step with the router's own choices under JAX's profiler: the milliseconds of kernels by what they are, told by
their names, and the time between them when none ran. `all else`: norms, activations, moving rows to experts and back,
the loss without its matmuls, conversions, the optimizer. `step less that` is by how much the steps above, which follow
each other without a pause, took longer than the one that was traced."""
TORCH_NOTE = """\
transformers' Llama and Mixtral in eager mode, weights and AdamW in bfloat16 (moec keeps both in float32), attention by
`sdpa`, the fused AdamW, nothing dropped, nothing computed twice, routing by their own router. MFU as above, with the
same FLOPs."""
NOTES = {
    "roofline": ROOFLINE_NOTE,
    "matmuls": KERNEL_NOTE,
    "attention": ATTENTION_NOTE,
    "norms": NORM_NOTE,
    "steps": STEP_NOTE,
    "torch": TORCH_NOTE,
}
PART_NAMES = ("matmuls", "experts' matmuls", "attention", "all else")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of some repetitions."""

    low: float
    middle: float
    high: float
    count: int


def spread(seconds: list[float]) -> Spread:
    """Of one repetition all three are the same."""
    if len(seconds) == 1:
        return Spread(seconds[0], seconds[0], seconds[0], 1)
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Spread(low, middle, high, len(seconds))


def mfu(train_flops_per_token: float, tokens: int, seconds: float, peak_flops_per_second: float) -> float | None:
    """Model FLOPs utilisation: what the mathematics of a step needs over what the chip could do in its time. None where
    the peak is not known. Source: Chowdhery et al. 2022, arXiv 2204.02311, appendix B; attention counted causally."""
    if not peak_flops_per_second:
        return None
    return train_flops_per_token * tokens / (seconds * peak_flops_per_second)


def document(work: Row, rows: list[Row], heading: str) -> str:
    """The whole page; `rows` in the order of their tables."""
    parts = [heading, NOT_CLAIMED]
    for table, title in TITLES.items():
        own = [row for row in rows if row["table"] == table]
        if not own:
            continue
        parts += [f"## {title}", NOTES[table]]
        measured = [row for row in own if "skipped" not in row]
        if measured:
            parts.append(markdown(COLUMNS[table], measured, work["chip"]))
        if parted := [row for row in measured if row.get("parts")]:
            parts += ["### Where the time goes", PARTS_NOTE, markdown(PART_COLUMNS, parted, work["chip"])]
        skipped = [f"- {row['subject']}: skipped, {row['skipped']}" for row in own if "skipped" in row]
        parts += ["\n".join(skipped)] if skipped else []
    failed = [row for row in rows if "failed" in row]
    if failed:
        parts.append("## What failed")
        parts.append("\n".join(f"- {row['table']}, {row['subject']}, {row['row']}: {row['failed']}" for row in failed))
    return "\n\n".join(parts) + "\n"


Cell = Callable[[Row, Row], str]
"""A row's text in one column, given the chip."""


def markdown(columns: dict[str, Cell], rows: Iterable[Row], chip: Row) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell(row, chip) for cell in columns.values())} |" for row in rows]
    return "\n".join(lines)


def _subject(row: Row, chip: Row) -> str:
    return str(row["subject"])


def _name(row: Row, chip: Row) -> str:
    return str(row["row"])


def _seconds(scale: float, places: int) -> Cell:
    """The median, or that there is none."""

    def cell(row: Row, chip: Row) -> str:
        return f"{scale * spread(row['seconds']).middle:,.{places}f}" if row.get("seconds") else "failed"

    return cell


def _quartiles(scale: float, places: int) -> Cell:
    def cell(row: Row, chip: Row) -> str:
        if not row.get("seconds"):
            return "–"
        told = spread(row["seconds"])
        return f"{scale * told.low:,.{places}f} to {scale * told.high:,.{places}f} of {told.count}"

    return cell


def _rate(row: Row, chip: Row) -> str:
    if not row.get("seconds") or "flops" not in row:
        return "–"
    return f"{row['flops'] / spread(row['seconds']).middle / 1e12:,.3g}"


def _of_achievable(row: Row, chip: Row) -> str:
    achievable = chip["achievable_flops_per_second"]
    if not row.get("seconds") or not achievable or "flops" not in row:
        return "–"
    return f"{row['flops'] / spread(row['seconds']).middle / achievable:.0%}"


def _error(row: Row, chip: Row) -> str:
    return f"{row['error']:.1e}" if "error" in row else "–"


def _tokens(row: Row, chip: Row) -> str:
    return f"{row['tokens'] / spread(row['seconds']).middle:,.0f}" if row.get("seconds") else "–"


def _mfu(row: Row, chip: Row) -> str:
    if not row.get("seconds"):
        return "–"
    seconds = spread(row["seconds"]).middle
    used = mfu(row["train_flops_per_token"], row["tokens"], seconds, chip["peak_flops_per_second"])
    return "–" if used is None else f"{used:.1%}"


def _gigabytes(name: str) -> Cell:
    return lambda row, chip: f"{row[name] / 1e9:,.2f}" if row.get(name) else "–"


def _number(name: str, places: int) -> Cell:
    return lambda row, chip: f"{row[name]:,.{places}f}" if name in row else "–"


def _memory_ratio(row: Row, chip: Row) -> str:
    return f"{row['peak_bytes'] / row['planned_bytes']:.2f}" if row.get("peak_bytes") else "–"


def _time_ratio(row: Row, chip: Row) -> str:
    return f"{spread(row['seconds']).middle / row['planned_seconds']:.2f}" if row.get("seconds") else "–"


def _milliseconds_of(part: str) -> Cell:
    return lambda row, chip: f"{1e3 * row['parts'].get(part, 0.0):,.1f}"


def _idle(row: Row, chip: Row) -> str:
    return f"{1e3 * sum(row['waits'].values()):,.1f}"


def _not_traced(row: Row, chip: Row) -> str:
    traced = sum(row["parts"].values()) + sum(row["waits"].values())
    return f"{1e3 * (spread(row['seconds']).middle - traced):,.1f}"


def _terabytes(row: Row, chip: Row) -> str:
    if not row.get("seconds") or "moved_bytes" not in row:
        return "–"
    return f"{row['moved_bytes'] / spread(row['seconds']).middle / 1e12:,.2f}"


KERNEL_COLUMNS: dict[str, Cell] = {
    "ms": _seconds(1e3, 3),
    "quartiles": _quartiles(1e3, 3),
    "TFLOP/s": _rate,
    "of achievable": _of_achievable,
    "error": _error,
}
STEP_COLUMNS: dict[str, Cell] = {
    "routing": _name,
    "s/step": _seconds(1, 4),
    "quartiles": _quartiles(1, 4),
    "tokens/s": _tokens,
    "MFU": _mfu,
    "peak GB": _gigabytes("peak_bytes"),
}
PART_COLUMNS: dict[str, Cell] = {
    "program": _subject,
    "ms/step": _seconds(1e3, 1),
    **{part: _milliseconds_of(part) for part in PART_NAMES},
    "no kernel": _idle,
    "step less that": _not_traced,
}
COLUMNS: dict[str, dict[str, Cell]] = {
    "roofline": {
        "what": _name,
        "ms": _seconds(1e3, 3),
        "quartiles": _quartiles(1e3, 3),
        "TFLOP/s": _rate,
        "of achievable": _of_achievable,
        "TB/s": _terabytes,
    },
    "matmuls": {"experts, kernel": _subject, "loads, operation": _name, **KERNEL_COLUMNS},
    "attention": {"kernel": _subject, "documents, operation": _name, **KERNEL_COLUMNS},
    "norms": {
        "norms": _subject,
        "what": _name,
        "ms": _seconds(1e3, 3),
        "quartiles": _quartiles(1e3, 3),
        "TB/s": _terabytes,
        "error": _error,
    },
    "steps": {
        "program": _subject,
        **STEP_COLUMNS,
        "plan GB": _gigabytes("planned_bytes"),
        "peak / plan": _memory_ratio,
        "by the compiler, GB": _gigabytes("compiler_bytes"),
        "plan s": _number("planned_seconds", 4),
        "measured / plan": _time_ratio,
        "busiest": _number("busiest", 2),
        "dropped": _number("dropped", 3),
        "compiling, s": _number("compiling", 1),
    },
    "torch": {"model": _subject, **STEP_COLUMNS},
}
