"""The devices that a program's mesh asks for: virtual ones on CPU, and what is said where they are missing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import jax

from moec.runtime.failure import RunError
from moec.runtime.mesh import MeshShape

THREADS_OF_DEVICES = "PJRT_NPROC"
"""Where XLA's CPU client reads how many threads run its devices, when it starts."""

THREADS_PER_DEVICE = 2
"""With one, XLA's choice, a device may never get its thread while those of the others wait for it in a collective,
which ends the process after 40 s. Measured on 2 cores, docs/log.md 2026-11-27."""


def platform_of(hardware: str) -> str:
    """JAX's name of the platform of a chip of the catalogue: cpu, tpu or gpu."""
    if hardware == "cpu":
        return "cpu"
    return "tpu" if hardware.startswith("tpu") else "gpu"


def is_one_cpu(shape: MeshShape) -> bool:
    """Whether a step runs in the thread that calls it, which then also takes and frees its memory (`heap.py`)."""
    return shape.hardware == "cpu" and shape.devices == 1


def prepare_devices(shape: MeshShape, *, processes: int = 1) -> None:
    """Chooses the CPU, with as many virtual devices as the mesh needs from each process, for a mesh of CPUs. On a
    single one calls wait for the device.

    Has no effect once JAX has used a device: then the devices are what they are, and `check_devices` has the last word.
    """
    if shape.hardware != "cpu":
        return
    wanted = shape.devices // processes
    if wanted > 1:
        os.environ.setdefault(THREADS_OF_DEVICES, str(THREADS_PER_DEVICE * wanted))
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_platforms", "cpu")
        if is_one_cpu(shape):
            jax.config.update("jax_cpu_enable_async_dispatch", False)
        if wanted > max(1, jax.config.jax_num_cpu_devices):
            jax.config.update("jax_num_cpu_devices", wanted)


def check_devices(shape: MeshShape, planned: Callable[[], str] | None = None) -> None:
    """`planned` says in words what the run needs of each device; it is asked only where devices are missing.

    Errors: RunError (exit 2) with what was found and the ways out where the mesh cannot be made here.
    """
    wanted = platform_of(shape.hardware)
    try:
        found = jax.devices()
    except RuntimeError as error:  # JAX was told to use a platform that it cannot
        have = f"no device that JAX can use ({str(error).strip()[:300]})"
    else:
        if found[0].platform == wanted and len(found) >= shape.devices:
            return
        have = f"{len(found)} x {found[0].device_kind} ({found[0].platform})"
    raise RunError(
        f"this program's mesh is {shape.devices} x {shape.hardware}; this machine has {have}.\n"
        + (f"the plan: {planned()}\n" if planned else "")
        + _ways_out(shape, wanted),
        2,
    )


def _ways_out(shape: MeshShape, wanted: str) -> str:
    extra = {"gpu": "cuda", "tpu": "tpu", "cpu": "dev"}[wanted]
    install = (
        "set no other JAX device count before it (XLA_FLAGS, jax_num_cpu_devices)"
        if wanted == "cpu"
        else f'if the chips are there, install JAX for them: pip install "moec[{extra}]"'
    )
    told = os.environ.get("JAX_PLATFORMS")
    if told and wanted != "cpu":
        install = f"JAX_PLATFORMS={told} hides other devices: unset it; {install}"
    return (
        f"  1. run it where {shape.devices} x {shape.hardware} are, on one host or several\n"
        f"  2. {install}\n"
        "  3. give the run another mesh in the spec (hardware, devices, axes) and compile it again"
    )
