"""What a GPU did, by JAX's profiler: the seconds of its kernels, as the chip's own clock tells them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import jax

PARTS = {
    "experts' matmuls": re.compile(r"mosaic_gpu|grouped_matmul|grouped_outer"),
    "attention": re.compile(r"cudnn|sdpa|fmha"),
    "matmuls": re.compile(r"nvjet|gemm|cutlass|cublas|xmma"),
}
"""Which part of a step a kernel is, by its name; the first that fits. All others are `OTHERS`."""

OTHERS = "all else"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that ran, or a copy: nanoseconds since the trace began, and how many it took."""

    name: str
    began: float
    took: float

    @property
    def kind(self) -> str:
        """The name without what numbers it, 80 characters at most."""
        return re.sub(r"_\d+$", "", self.name)[:80]


def kernels_of(work: Callable[[], object]) -> list[Kernel]:
    """What the GPU did for `work`, in the order of its beginning; nothing where there is no GPU."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(work())
        return sorted(_kernels_in(Path(folder)), key=lambda kernel: kernel.began)


def _kernels_in(folder: Path) -> Iterable[Kernel]:
    for path in folder.rglob("*.xplane.pb"):
        yield from in_profile(jax.profiler.ProfileData.from_file(str(path)))


def in_profile(profile: jax.profiler.ProfileData) -> Iterable[Kernel]:
    """The kernels on the streams of all GPUs of a profile."""
    for plane in profile.planes:
        if not plane.name.startswith("/device:GPU"):
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                yield from (Kernel(event.name, event.start_ns, event.duration_ns) for event in line.events)


def seconds_of_calls(kernels: list[Kernel], calls: int) -> list[float]:
    """The seconds of each of `calls` equal calls, one after the other; of all together, shared out, where they did not
    launch equally many kernels."""
    if len(kernels) % calls:
        return [1e-9 * sum(kernel.took for kernel in kernels) / calls] * calls
    share = len(kernels) // calls
    return [
        1e-9 * sum(kernel.took for kernel in kernels[first : first + share]) for first in range(0, len(kernels), share)
    ]


def parts_of(kernels: list[Kernel]) -> dict[str, float]:
    """Seconds of each part, the longest first."""
    seconds: dict[str, float] = {}
    for kernel in kernels:
        part = next((name for name, pattern in PARTS.items() if pattern.search(kernel.name)), OTHERS)
        seconds[part] = seconds.get(part, 0.0) + 1e-9 * kernel.took
    return dict(sorted(seconds.items(), key=lambda entry: -entry[1]))


def waits(kernels: list[Kernel]) -> dict[str, float]:
    """Seconds between the first and the last kernel in which none ran, by the kind of the kernel before; the longest
    first."""
    found: dict[str, float] = {}
    before = None
    for kernel in kernels:
        if before is not None and (wait := kernel.began - before.began - before.took) > 0:
            found[before.kind] = found.get(before.kind, 0.0) + 1e-9 * wait
        if before is None or kernel.began + kernel.took > before.began + before.took:
            before = kernel
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def longest(kernels: list[Kernel], most: int = 25) -> list[tuple[str, float, int]]:
    """The names that took longest, without what numbers them: seconds in all, how often."""
    found: dict[str, list[float]] = {}
    for kernel in kernels:
        found.setdefault(kernel.kind, []).append(1e-9 * kernel.took)
    totals = [(name, sum(seconds), len(seconds)) for name, seconds in found.items()]
    return sorted(totals, key=lambda entry: -entry[1])[:most]
