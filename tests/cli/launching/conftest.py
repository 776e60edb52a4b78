"""A run on any mesh, and the job that an engine gets of it. Makes `one_machine_slurm.py` importable."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moec.cli.launching.job import Job

if TYPE_CHECKING:
    from moec.compiler.typed import MeshSpec

sys.path.insert(0, str(Path(__file__).parent))

SPEC = """\
edition = 2026

model dense {
  vocab_size = 256
  seq_len    = 64
  n_layers   = 2
  d_model    = 32
  attention { n_heads = 2 }
  ffn       { d_ff = 64, activation = swiglu }
  dtype     { compute = bfloat16 }
}

mesh machines { MESH, axes { data = auto } }

data code { source = python_stdlib, tokenizer = bytes }

budget small { steps = 4 }

run night_1 {
  model = dense, mesh = machines, data = code, budget = small
  batch { tokens = 64Ki }
  checkpoint { every_steps = 2 }
}
"""

MakeMesh = Callable[[str], "MeshSpec"]
MakeJob = Callable[[str], Job]


@pytest.fixture
def make_mesh() -> MakeMesh:
    """`make_mesh("hardware = h100, devices = 16")`: the mesh of a spec that says so."""
    from moec.compiler.resolve import resolve
    from moec.spec.diagnostics import has_errors
    from moec.spec.loader import load_text
    from moec.spec.reader import read

    def make(text: str) -> MeshSpec:
        loaded, told = load_text("spec.moe", SPEC.replace("MESH", text))
        assert loaded is not None, told
        typed, more = resolve(read(loaded)[0])
        assert not has_errors(more), more
        return typed.runs[0].mesh

    return make


@pytest.fixture
def make_job(make_mesh: MakeMesh) -> MakeJob:
    """`make_job("hardware = h100, devices = 16")`: the job of a run on that mesh."""

    def make(text: str) -> Job:
        return Job(
            name="spec-night-1",
            run="night_1",
            mesh=make_mesh(text),
            folder=Path("runs/spec/night_1"),
            resume="auto",
            options=("--steps", "100"),
            restarts=3,
            grace_seconds=120,
        )

    return make
