"""MOE71xx: memory and what the hardware can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.numbers import gibibytes
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE7101", "error", "the run does not fit into the memory of a device"),
    CodeInfo("MOE7102", "error", "a kernel does not run on this hardware"),
    CodeInfo("MOE7103", "error", "cuDNN attention cannot run this model"),
    CodeInfo("MOE7104", "error", "the speed of the hardware is unknown"),
    CodeInfo("MOE7105", "error", "nothing that `auto` may become fits into memory"),
    CodeInfo("MOE7106", "error", "splash attention cannot run this model"),
    CodeInfo("MOE7107", "error", "a grouped-matmul kernel cannot multiply these experts"),
    CodeInfo("MOE7108", "error", "cuDNN attention cannot be told documents by their lengths"),
    CodeInfo("MOE7201", "warning", "little memory is left"),
)


def over_memory(span: Span, total: int, hbm: int, parts: Mapping[str, int], hardware: str, help_: str) -> Diagnostic:
    listed = ", ".join(f"{name} {gibibytes(size)}" for name, size in parts.items())
    return Diagnostic(
        "MOE7101",
        "error",
        f"the run needs {gibibytes(total)} of memory per device, `{hardware}` has {gibibytes(hbm)}",
        span,
        f"{gibibytes(total - hbm)} too much",
        check="memory.total_bytes_per_device <= hardware.hbm",
        helps=(help_,),
        notes=(listed,),
    )


def little_memory_left(span: Span, total: int, hbm: int, hardware: str) -> Diagnostic:
    return Diagnostic(
        "MOE7201",
        "warning",
        f"the run fills {100 * total / hbm:.0f} % of the memory of `{hardware}` by this estimate",
        span,
        f"{gibibytes(total)} of {gibibytes(hbm)}",
        helps=("see what the compiler says with `moec prove` before renting it",),
    )


def kernel_not_on_platform(
    span: Span, field: str, kernel: str, needed: str, hardware: str, platform: str, hardware_at: Span
) -> Diagnostic:
    return Diagnostic(
        "MOE7102",
        "error",
        f"the kernel `{kernel}` does not run here",
        span,
        f"made for a {needed}",
        others=(Label(hardware_at, f"`{hardware}` is a {platform}"),),
        helps=(f"write {field} = auto",),
    )


def cudnn_cannot(span: Span, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE7103", "error", f"cuDNN attention cannot run this model: {why}", span, helps=("write kernel = auto",)
    )


def lengths_cannot(span: Span, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE7108",
        "error",
        f"cuDNN attention cannot be told documents by their lengths: {why}",
        span,
        helps=("write max_documents = auto",),
    )


def splash_cannot(span: Span, lanes: int, seq_len: int, seq: int, seq_len_at: Span) -> Diagnostic:
    """`seq` is the size of the axis of that name."""
    why = f"sequences lie over {seq} devices" if seq > 1 else f"{seq_len} is no multiple of {lanes}"
    nearest = max(lanes, round(seq_len / lanes) * lanes)
    mend = "leave `seq` of the mesh at 1" if seq > 1 else f"write seq_len = {nearest}"
    return Diagnostic(
        "MOE7106",
        "error",
        f"splash attention needs whole sequences of a multiple of {lanes} tokens: {why}",
        span,
        others=(Label(seq_len_at, f"{seq_len} tokens"),),
        helps=(mend, "write kernel = auto"),
    )


def grouped_matmul_cannot(span: Span, kernel: str, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE7107",
        "error",
        f"the kernel `{kernel}` cannot multiply these experts: {why}",
        span,
        helps=("write grouped_matmul = auto",),
    )


def rate_unknown(span: Span, hardware: str, dtype: str) -> Diagnostic:
    return Diagnostic(
        "MOE7104",
        "error",
        f"nothing says how fast `{hardware}` multiplies in {dtype}, so no step time can be told",
        span,
        helps=(f"add `achievable: {{{dtype}: …}}` to its file",),
    )


def no_choice_fits(
    span: Span, asked: tuple[str, ...], closest: str, total: int, hbm: int, parts: Mapping[str, int], hardware: str
) -> Diagnostic:
    """`closest` is the candidate that needs the least; `parts` are its bytes by kind."""
    largest = max(parts, key=lambda name: parts[name])
    listed = ", ".join(f"{name} {gibibytes(size)}" for name, size in parts.items())
    return Diagnostic(
        "MOE7105",
        "error",
        f"nothing that {' and '.join(f'`{path}`' for path in asked)} may become fits into memory",
        span,
        f"the closest needs {gibibytes(total)} per device, `{hardware}` has {gibibytes(hbm)}",
        check="memory.total_bytes_per_device <= hardware.hbm",
        helps=(FITTING[largest], "or take more devices, or a chip with more memory"),
        notes=(f"closest: {closest}", f"{listed}: {largest} limit it"),
    )


FITTING: Final[Mapping[str, str]] = {
    "params": "let `fsdp`, `expert` and `model` be `auto` too: they cut the weights",
    "gradients": "let `fsdp`, `expert` and `model` be `auto` too: they cut the gradients",
    "optimizer": "let `fsdp`, `expert` and `model` be `auto` too, or take an optimizer with less state",
    "activations": "write `policy = auto` in `remat`, or let `seq` and `model` be `auto` too: they cut the activations",
}
"""What makes each part smaller."""
