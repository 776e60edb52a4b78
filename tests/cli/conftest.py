"""The command line called in this process, in an empty folder, with a small spec at hand."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from moec.cli import program
from moec.cli.main import main

TINY = """\
edition = 2026

model dense {
  vocab_size = 256
  seq_len    = 64
  n_layers   = 2
  d_model    = 32
  attention { n_heads = 2 }
  ffn       { d_ff = 64, activation = swiglu }
}

model sparse extends dense {
  experts { every = 2, n_experts = 4, top_k = 2, d_ff = 64, capacity_factor = 1.25, balance_loss = 0.01 }
}

mesh laptop { hardware = cpu, devices = 1 }

data code { source = python_stdlib, tokenizer = bytes }

budget small { steps = 4 }

run baseline {
  model = dense, mesh = laptop, data = code, budget = small
  batch { tokens = 256 }
  checkpoint { every_steps = 2 }
}

run with_moe extends baseline { model = sparse }

study tradeoff { runs = [baseline, with_moe], match = tokens }
"""


@dataclass(frozen=True, slots=True)
class Called:
    """How a call of the command ended, and what it printed."""

    status: int
    out: str
    err: str


Moec = Callable[..., Called]


@pytest.fixture
def moec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Moec:
    """Calls `moec` with its arguments; `stdin` is what it reads from standard input."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: bytes = b"") -> Called:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        printed = capfd.readouterr()
        return Called(status, printed.out, printed.err)

    return call


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """tiny.moe in the current folder of `moec`: two runs and a study."""
    path = tmp_path / "tiny.moe"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, tuple[str, ...]]]:
    """The programs that would have been executed, with their arguments; each ends well."""
    calls: list[tuple[Path, tuple[str, ...]]] = []

    def execute(path: Path, arguments: tuple[str, ...]) -> int:
        calls.append((path, arguments))
        return 0

    monkeypatch.setattr(program, "execute", execute)
    return calls
