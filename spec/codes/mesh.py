"""MOE41xx: the mesh. MOE42xx: what is laid on it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.numbers import divisors_near, multiples_near, product, shape
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE4101", "error", "the axes do not multiply to the number of devices"),
    CodeInfo("MOE4103", "error", "the written axes do not divide the devices"),
    CodeInfo("MOE4104", "error", "the hardware is not offered in this topology"),
    CodeInfo("MOE4105", "error", "the slices do not hold equally many devices"),
    CodeInfo("MOE4106", "error", "no layout of the `auto` axes is legal"),
    CodeInfo("MOE4201", "error", "the batch is not a multiple of the devices that share it"),
    CodeInfo("MOE4202", "error", "the batch does not hold whole sequences"),
    CodeInfo("MOE4203", "error", "the micro-batch does not divide the batch"),
    CodeInfo("MOE4204", "error", "a length is not a multiple of the axis that cuts it"),
)

OFFERED_SHOWN: Final = 6
"""How many topologies a message lists. Assumption: more are not read."""


def axes_are_not_devices(span: Span, axes: Mapping[str, int], devices: int, devices_at: Span) -> Diagnostic:
    written = prod(axes.values())
    helps = ("make one axis `auto`: it becomes what the others leave over", f"or write devices = {written}")
    return Diagnostic(
        "MOE4101",
        "error",
        "the axes do not multiply to the number of devices",
        span,
        f"{product(axes)} = {written}, not {devices}",
        others=(Label(devices_at, f"{devices} devices"),) if devices_at != span else (),
        check="data * fsdp * expert * seq * model == devices",
        helps=helps,
        notes=("an axis that is not named is 1",),
    )


def auto_axis_does_not_divide(span: Span, name: str, devices: int, axes: Mapping[str, int]) -> Diagnostic:
    written = prod(axes.values())
    return Diagnostic(
        "MOE4103",
        "error",
        f"the written axes leave no whole number for `{name}`",
        span,
        f"{devices} devices / {written} leaves {devices % written}",
        check=f"devices % ({product(axes)}) == 0",
        helps=(f"nearest products of the written axes: {divisors_near(written, devices)}",),
    )


def no_legal_layout(span: Span, devices: int, tried: int, devices_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE4106",
        "error",
        "no layout of the `auto` axes is legal",
        span,
        f"{tried:,} ways to spread {devices:,} devices, none of which passes the checks",
        others=(Label(devices_at, f"{devices:,} devices"),) if devices_at != span else (),
        helps=(
            "write the axes of one layout that should work: the error that this gives names the length in the way",
            "`batch.tokens / seq_len` sequences are shared by data * fsdp * expert, heads by model, experts by expert",
        ),
    )


def topology_not_offered(
    span: Span, hardware: str, topology: tuple[int, ...], offered: tuple[tuple[int, ...], ...]
) -> Diagnostic:
    chips = prod(topology)
    nearest = sorted(offered, key=lambda sizes: (abs(prod(sizes) - chips), sizes))[:OFFERED_SHOWN]
    return Diagnostic(
        "MOE4104",
        "error",
        f"`{hardware}` is not offered as {shape(topology)}",
        span,
        f"{chips} chips",
        helps=(f"nearest in size: {', '.join(shape(sizes) for sizes in nearest)}",),
    )


def devices_not_per_slice(span: Span, devices: int, slices: int) -> Diagnostic:
    return Diagnostic(
        "MOE4105",
        "error",
        "the slices do not hold equally many devices",
        span,
        f"{devices} devices / {slices} slices leaves {devices % slices}",
        check="devices % slices == 0",
        helps=(f"nearest values: slices = {divisors_near(slices, devices)}",),
    )


def batch_not_divisible(
    span: Span, sequences: int, seq_len: int, axes: Mapping[str, int], micro_batches: int, axes_at: Span
) -> Diagnostic:
    unit = prod(axes.values()) * micro_batches
    shares = f"{product(axes)} x {micro_batches} micro-batches" if micro_batches > 1 else product(axes)
    near = " or ".join(str(int(n) * seq_len) for n in multiples_near(sequences, unit).split(" or "))
    return Diagnostic(
        "MOE4201",
        "error",
        "the sequences of a batch are not equally many for all devices",
        span,
        f"{sequences} sequences / {unit} leaves {sequences % unit}",
        others=(Label(axes_at, f"{shares} = {unit}"),),
        check="tokens / seq_len % (data * fsdp * expert * micro_batches) == 0",
        helps=(f"nearest values: tokens = {near}",),
        notes=("XLA would pad an uneven batch silently and compute on the padding",),
    )


def batch_not_sequences(span: Span, tokens: int, seq_len: int, seq_len_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE4202",
        "error",
        "the batch does not hold whole sequences",
        span,
        f"{tokens} / {seq_len} leaves {tokens % seq_len}",
        others=(Label(seq_len_at, "`seq_len` is set here"),),
        check="tokens % seq_len == 0",
        helps=(f"nearest values: tokens = {multiples_near(tokens, seq_len)}",),
    )


def micro_does_not_divide(span: Span, micro: int, tokens: int, seq_len: int, tokens_at: Span) -> Diagnostic:
    sequences = tokens // seq_len
    wanted = min(max(1, micro // seq_len), sequences)
    near = str(wanted) if sequences % wanted == 0 else divisors_near(wanted, sequences)
    return Diagnostic(
        "MOE4203",
        "error",
        "the micro-batch does not divide the batch into whole sequences",
        span,
        f"{micro} tokens",
        others=(Label(tokens_at, f"{tokens} tokens, {sequences} sequences of {seq_len}"),),
        check="tokens % micro == 0 and micro % seq_len == 0",
        helps=("nearest values: micro = " + " or ".join(str(int(n) * seq_len) for n in near.split(" or ")),),
    )


def axis_does_not_divide(span: Span, field: str, size: int, axis: str, axis_size: int, axis_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE4204",
        "error",
        f"`{field}` is not a multiple of axis `{axis}`",
        span,
        f"{size} / {axis_size} leaves {size % axis_size}",
        others=(Label(axis_at, f"`{axis}` is {axis_size}"),),
        check=f"{field} % {axis} == 0",
        helps=(
            f"nearest values: {field} = {multiples_near(size, axis_size)}",
            f"or {axis} = {divisors_near(axis_size, size)}",
        ),
    )
