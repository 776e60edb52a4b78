"""`moec doctor`: what this machine can do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from moec.cli.command import DIAGNOSED, OK, Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NEEDED = ("jax", "flax", "optax", "orbax-checkpoint", "lark", "pyyaml", "jsonschema", "rich")
OPTIONAL = (
    ("grain", "parallel loading", 'pip install "moec"'),
    ("matplotlib", "pictures in reports", 'pip install "moec"'),
    ("tokenizers", "tokenizers JSON files", 'pip install "moec[tokenizers]"'),
    ("sentencepiece", "SentencePiece models", 'pip install "moec[tokenizers]"'),
    ("pyarrow", "Parquet files", 'pip install "moec[parquet]"'),
    ("tensorboardX", "TensorBoard events", 'pip install "moec[tensorboard]"'),
    ("pygls", "the language server", 'pip install "moec[lsp]"'),
    ("libtpu", "proofs and programs for TPUs", 'pip install "moec[tpu]"'),
    ("jax-cuda13-plugin", "proofs and programs for NVIDIA GPUs", 'pip install "moec[cuda]"'),
)
PROBE = (
    "import jax; devices = jax.devices(); "
    "print(f'{len(devices)} x {devices[0].device_kind} ({devices[0].platform}), {jax.process_count()} process')"
)


class Line(NamedTuple):
    """One finding; `ok` None where it is only a fact."""

    ok: bool | None
    what: str
    found: str


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=float, default=120, metavar="SECONDS", help="how long JAX may look for devices (default 120)"
    )


def _run(arguments: Namespace) -> int:
    lines = (*_machine(), *_packages(), _devices(arguments.timeout))
    width = max(len(line.what) for line in lines)
    for line in lines:
        print(f"{_mark(line.ok)} {line.what:<{width}}  {line.found}")
    bad = [line.what for line in lines if line.ok is False]
    print(f"\nmissing for training: {', '.join(bad)}" if bad else "\nThis machine can check, compile and train.")
    return DIAGNOSED if bad else OK


def _mark(ok: bool | None) -> str:
    return {True: "ok   ", False: "NO   ", None: "     "}[ok]


def _machine() -> tuple[Line, ...]:
    import platform

    version = sys.version_info[:2]
    return (
        Line((3, 11) <= version < (3, 14), "Python", f"{platform.python_version()} (3.11 to 3.13 are tested)"),
        Line(None, "system", f"{platform.system()} {platform.machine()}"),
        Line(None, "cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())),
        Line(None, "memory", _memory()),
    )


def _memory() -> str:
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "unknown"
    return f"{installed / 2**30:.1f} GiB"


def _packages() -> tuple[Line, ...]:
    needed = (Line(_version(name) is not None, name, _version(name) or "not installed") for name in NEEDED)
    optional = (Line(None, name, _version(name) or f"not installed: {use}, {how}") for name, use, how in OPTIONAL)
    return (*needed, *optional)


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _devices(timeout_seconds: float) -> Line:
    """What JAX finds, asked in a process of its own: a broken driver may hang or abort."""
    import subprocess

    try:
        done = subprocess.run(
            (sys.executable, "-c", PROBE), capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return Line(False, "devices", f"JAX found none within {timeout_seconds:g} s; try JAX_PLATFORMS=cpu")
    if done.returncode == 0:
        return Line(True, "devices", done.stdout.strip().splitlines()[-1])
    told = done.stderr.strip().splitlines() or [f"JAX ended with status {done.returncode}"]
    return Line(False, "devices", told[-1])


COMMAND = Command(
    "doctor",
    "tell what this machine can do",
    ("moec doctor", "JAX_PLATFORMS=cpu moec doctor   # as if there were no accelerator"),
    _add_arguments,
    _run,
)
