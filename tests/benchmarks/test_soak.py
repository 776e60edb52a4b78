"""The soak sees a run that is not the one that was left alone, and its short form passes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.parametrize(
    ("resumed", "status", "grows_by", "said"),
    [
        (480, 0, 0, []),
        (480, 1, 0, ["a life that was to its end ended with 1"]),
        (100, 0, 0, ["a life began at step 100 although 500 were done"]),
        (480, 0, 1, ["memory grew to 1.26 of what it was"]),
    ],
    ids=["all is well", "a life fails", "a checkpoint is lost", "memory grows"],
)
def test_what_does_not_hold_is_told(
    resumed: int, status: int, grows_by: int, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SOAK.parent))
    soak = importlib.import_module("soak")
    lives = [
        soak.Life("killed", reached=500, status=-9, resident_bytes=[100] * 9),
        soak.Life("to its end", resumed=resumed, status=status, resident_bytes=[100] * 9),
    ]
    whole = soak.Life("in one piece", resident_bytes=[100 + grows_by * sample for sample in range(50)])
    assert [fault.partition(":")[0] for fault in soak.faults_of(lives, whole, saves=0)] == said


def test_what_orbax_keeps_of_each_save_is_no_growth_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SOAK.parent))
    soak = importlib.import_module("soak")
    leaked = [10**6 + 1000 * sample for sample in range(50)]
    assert soak.growth(leaked) > 1.02
    assert soak.growth(leaked, 50_000) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.slow
def test_a_short_soak_is_the_run_that_was_left_alone_and_its_memory_stays_flat(tmp_path: Path) -> None:
    results = tmp_path / "soak.md"
    command = (sys.executable, str(SOAK), "--minutes", "0.3", "--results", str(results))
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything held" in results.read_text(encoding="utf-8")
