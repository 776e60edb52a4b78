"""`moec launch`: which engine gets what, what is refused, and real processes that train, stop and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from moec.cli.launching import local

SEVERAL = (
    "mesh laptop { hardware = cpu, devices = 1 }",
    "mesh laptop { hardware = cpu, devices = 4, axes { data = 4 } }",
)
MOEC = (sys.executable, "-c", "import sys; from moec.cli.main import main; sys.exit(main())")
KUBERNETES = ("--on", "kubernetes", "--image", "IMAGE", "--claim", "CLAIM")
SETTINGS = ("--set", "small.steps=100", "--set", "run.checkpoint.every_steps=50", "--set", "run.eval.tokens=1Ki")
TIME_FIELDS = ("seconds", "step_seconds", "tokens_per_second")


@pytest.fixture
def four(tiny: Path) -> Path:
    """tiny.moe on a mesh of four devices."""
    tiny.write_text(tiny.read_text(encoding="utf-8").replace(*SEVERAL), encoding="utf-8")
    return tiny


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[local.Command, ...]]:
    """The processes that would have been started, launch by launch; each ends well."""
    launches: list[tuple[local.Command, ...]] = []

    def train_together(parts: tuple[local.Command, ...]) -> int:
        launches.append(parts)
        return 0

    monkeypatch.setattr(local, "train_together", train_together)
    return launches


def test_slurm_gets_a_script_beside_the_program(moec, four) -> None:
    called = moec("launch", "tiny.moe", "--on", "slurm", "--run", "baseline", "--time", "30")
    assert called.status == 0
    assert "next: sbatch runs/tiny/baseline/launch.sbatch" in called.out
    text = Path("runs/tiny/baseline/launch.sbatch").read_text(encoding="utf-8")
    assert "#SBATCH --time=30\n" in text
    assert f"#SBATCH --chdir={Path.cwd()}\n" in text
    assert Path("runs/tiny/baseline/program.py").exists()
    assert Path("runs/tiny/baseline/logs").is_dir()


def test_kubernetes_gets_the_program_itself(moec, four) -> None:
    called = moec(
        "launch", "tiny.moe", *KUBERNETES, "--run", "with_moe", "--restart", "9", "--grace", "60", "-o", "out"
    )
    assert called.status == 0
    assert "next: kubectl apply -f out/with_moe/jobset.yaml" in called.out
    config_map, jobset = yaml.safe_load_all(Path("out/with_moe/jobset.yaml").read_text(encoding="utf-8"))
    assert config_map["data"]["program.py"] == Path("out/with_moe/program.py").read_text(encoding="utf-8")
    assert jobset["metadata"]["name"] == "tiny-with-moe"
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 9


def test_local_processes_train_run_after_run(moec, four, started) -> None:
    assert moec("launch", "tiny.moe", "--on", "local:2", "--steps", "3").status == 0
    assert [len(parts) for parts in started] == [2, 2]
    assert [parts[0].arguments[2] for parts in started] == [
        f"runs/tiny/{run}/program.py" for run in ("baseline", "with_moe")
    ]
    assert started[0][0].arguments[3:8] == ("train", "--resume", "auto", "--steps", "3")


def test_a_failed_run_is_started_again_from_its_checkpoint(moec, four, monkeypatch) -> None:
    launches: list[tuple[str, ...]] = []

    def fail(parts: tuple[local.Command, ...]) -> int:
        launches.append(parts[0].arguments)
        return 75

    monkeypatch.setattr(local, "train_together", fail)
    called = moec("launch", "tiny.moe", "--on", "local:2", "--resume", "never", "--restart", "2")
    assert called.status == 75
    assert [arguments[5] for arguments in launches] == ["never", "auto", "auto"]
    assert "the run hung; restart 2 of 2" in called.out


@pytest.mark.parametrize("engine", [("--on", "slurm"), KUBERNETES, ("--on", "local:2")])
def test_printing_writes_and_starts_nothing(moec, four, started, engine: tuple[str, ...]) -> None:
    called = moec("launch", "tiny.moe", *engine, "--run", "baseline", "--print")
    assert called.status == 0
    assert "program.py" in called.out
    assert list(Path().iterdir()) == [Path("tiny.moe")]
    assert started == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--on", "local"), "needs a number of processes, as in local:2"),
        (("--on", "local:0"), "needs a number of processes"),
        (("--on", "slrum"), "none of slurm, kubernetes and local:N"),
        (("--on", "slurm:2"), "none of slurm, kubernetes and local:N"),
        (("--on", "local:3"), "local:N can be 1, 2, 4"),
        (("--on", "local:2", "--nodes", "2"), "--nodes is for clusters"),
        (("--on", "local:2", "--partition", "gpu"), "--partition is for --on slurm"),
        (("--on", "slurm", "--node-selector", "a=b"), "--node-selector is for --on kubernetes"),
        (("--on", "slurm", "--resume", "never"), "must find its own checkpoints"),
        (("--on", "slurm", "--nodes", "3"), "--nodes 2 can"),
        (("--on", "slurm", "--name", "x"), "--name is for one run"),
        (("--on", "slurm", "--setup", "a\nb"), "is not one line of text"),
        (("--on", "slurm", "--restart", "-1"), "not a whole number"),
        (("--on", "kubernetes", "--image", "IMAGE"), "needs --image"),
        ((*KUBERNETES, "--node-selector", "gpu"), "is not KEY=VALUE"),
        ((*KUBERNETES, "--run", "baseline", "--name", "My_Run"), "'my-run' would do"),
        ((*KUBERNETES, "--accept-changes"), "cannot be read from here"),
    ],
)
def test_what_makes_no_sense_is_misuse(moec, four, started, arguments: tuple[str, ...], said: str) -> None:
    called = moec("launch", "tiny.moe", *arguments)
    assert called.status == 2
    assert said in called.err
    assert started == []
    assert not Path("runs").exists()


def test_a_run_without_data_is_refused(moec, four, started) -> None:
    text = four.read_text(encoding="utf-8").replace(", data = code", "").replace("data code {", "# data code {")
    four.write_text(text, encoding="utf-8")
    called = moec("launch", "tiny.moe", "--on", "local:2")
    assert called.status == 1
    assert "has no data" in called.err
    assert started == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_train_as_one_of_them_would(moec, four, count: int) -> None:
    launched = _moec("launch", "tiny.moe", "--on", f"local:{count}", "--run", "baseline", "-o", "together")
    assert launched.wait(300) == 0
    assert _moec("run", "tiny.moe", "--run", "baseline", "-o", "alone").wait(300) == 0
    together, alone = (_recorded(Path(name, "baseline")) for name in ("together", "alone"))
    assert len(together) == 4
    assert [step["loss"] for step in together] == pytest.approx([step["loss"] for step in alone], rel=1e-5)
    logs = [Path("together/baseline/logs", f"process-{index}.log").read_text() for index in range(count)]
    assert ["held-out loss" in log for log in logs] == [True] + [False] * (count - 1)


@pytest.mark.slow
def test_a_stopped_launch_goes_on_exactly_where_it_was(moec, four) -> None:
    launch = ("launch", "tiny.moe", "--on", "local:2", "--run", "baseline", *SETTINGS)
    folder = Path("stopped/baseline")
    stopped = _moec(*launch, "-o", "stopped")
    _wait(lambda: len(_recorded(folder)) >= 5)
    first = _stop(stopped, folder)
    again = _moec(*launch, "-o", "stopped")
    _wait(lambda: f"resumed from step {first}" in (folder / "logs" / "process-0.log").read_text())
    second = _stop(again, folder)  # it comes before a step is done
    assert first < second < 100
    assert _moec(*launch, "-o", "stopped").wait(300) == 0
    assert f"resumed from step {second}" in (folder / "logs" / "process-0.log").read_text()
    assert _moec(*launch, "-o", "whole").wait(300) == 0
    assert _recorded(folder) == _recorded(Path("whole/baseline"))


def _stop(launched: subprocess.Popen[bytes], folder: Path) -> int:
    """The step at which both processes stopped, which has a checkpoint."""
    launched.send_signal(signal.SIGTERM)
    assert launched.wait(300) == 143
    step = len(_recorded(folder))
    assert (folder / "checkpoints" / str(step)).is_dir()
    return step


def _moec(*arguments: str) -> subprocess.Popen[bytes]:
    """`moec` in a process of its own, without the devices that this one asked for.

    What XLA compiles is kept, for the next start.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(Path("xla").resolve()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    }
    return subprocess.Popen((*MOEC, *arguments), env={**environment, **cache})


def _recorded(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl, without what the clock wrote into them."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{key: value for key, value in record.items() if key not in TIME_FIELDS} for record in records]


def _wait(condition) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
