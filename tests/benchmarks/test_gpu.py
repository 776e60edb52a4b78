"""The benchmark for one GPU, as far as a CPU can take it: what it emits, measures, refuses and writes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_report
import gpu_tasks
import jax
import numpy as np
import pytest
from gpu_emission import emit
from jax import numpy as jnp
from told import Told

pytestmark = pytest.mark.usefixtures("quick_compilation")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CHIP = {"name": "h100", "platform": "gpu", "peak_flops_per_second": 989e12, "achievable_flops_per_second": 798e12}
FORBIDDEN = ("lark", "grain", "moec.spec", "moec.compiler", "moec.cli")
GUARD = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in {FORBIDDEN!r}):
            raise ModuleNotFoundError(f"forbidden here: {{name}}", name=name)

sys.meta_path.insert(0, Refuse())
"""
"""Makes a process one that has no compiler."""
Row = dict[str, Any]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny programs, as --emit writes them."""
    folder = tmp_path_factory.mktemp("programs")
    emit(BENCHMARKS / "specs" / "gpu_tiny.moe", folder)
    return folder


def command(folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Measures what lies in `folder`, with little time for compiling."""
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **environment}
    arguments = ("--programs", str(folder), "--rounds", "1", "--cache", str(folder / "cache"), *more)
    return subprocess.run(
        (sys.executable, str(BENCHMARKS / "gpu.py"), *arguments),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        env={**os.environ, **quick},
    )


def only(folder: Path, into: Path, **kept: Callable[[Row], bool]) -> Path:
    """A copy of the work in `folder` with the entries that are wanted, in `into`; its programs stay where they are."""
    work = json.loads((folder / gpu_tasks.WORK).read_text(encoding="utf-8"))
    for table in ("programs", "matmuls", "attention", "norms", "torch"):
        work[table] = [entry for entry in work[table] if table in kept and kept[table](entry)]
    for entry in work["programs"]:
        entry["program"] = str(folder / entry["program"])
    (into / gpu_tasks.WORK).write_text(json.dumps(work), encoding="utf-8")
    return into


def table_of(page: str, title: str) -> list[Row]:
    """The rows of the table below a title, by column."""
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def test_programs_are_measured_where_only_the_runtime_is_and_what_fails_is_a_row(
    programs: Path, tmp_path: Path
) -> None:
    guarded = tmp_path / "guarded"
    mark = f"with open({str(guarded)!r}, 'a') as file:\n    print('a process', file=file)\n"
    (tmp_path / "sitecustomize.py").write_text(GUARD + mark, encoding="utf-8")
    folder = only(
        programs,
        tmp_path,
        programs=lambda entry: entry["name"] == "coarse_capacity",
        matmuls=lambda entry: entry["name"] == "coarse",
        torch=lambda entry: entry["name"] == "dense",
    )
    work = gpu_tasks.read_work(folder)
    broken = work["programs"][0] | {"name": "coarse_broken", "program": "no program"}
    work["programs"].insert(0, broken)
    (folder / gpu_tasks.WORK).write_text(json.dumps(work), encoding="utf-8")
    results = tmp_path / "results.md"
    done = command(folder, "--results", str(results), PYTHONPATH=str(tmp_path))
    assert len(guarded.read_text(encoding="utf-8").splitlines()) == 6  # the driver and five workers
    page = results.read_text(encoding="utf-8")
    assert page == done.stdout.removesuffix("\n")
    steps = table_of(page, gpu_report.TITLES["steps"])
    assert [(row["program"], row["routing"]) for row in steps] == [
        ("coarse_broken", "random"),
        ("coarse_broken", "balanced"),
        ("coarse_capacity", "random"),
        ("coarse_capacity", "balanced"),
    ]
    assert [row["s/step"] == "failed" for row in steps] == [True, True, False, False]
    assert (steps[3]["busiest"], steps[3]["dropped"]) == ("1.00", "0.000")
    assert float(steps[2]["busiest"]) > 1.05
    assert "- steps, coarse_broken, random: status 1: FileNotFoundError" in page
    assert len(table_of(page, gpu_report.TITLES["matmuls"])) == 6
    assert "- dense: skipped, " in page
    rows = [json.loads(line) for line in results.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["row"] for row in rows if "failed" in row] == ["random", "balanced"]
    assert all(len(row["seconds"]) >= 3 for row in rows if "seconds" in row)


def test_where_the_compiler_is_missing_it_is_said_what_to_do() -> None:
    code = GUARD + f"sys.path.insert(0, {str(BENCHMARKS)!r})\nimport gpu\ngpu.write_programs(gpu.TINY, gpu.FOLDER)"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no compiler here" in done.stderr


def test_without_programs_it_is_said_how_to_write_them(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"write the programs with --emit"):
        gpu_tasks.read_work(tmp_path)


def test_mfu_is_model_flops_over_what_the_chip_could_do() -> None:
    # 6 GFLOP a token, 16,384 tokens in 0.2 s: 491.52 TFLOP/s of 989.
    assert gpu_report.mfu(6e9, 16_384, 0.2, 989e12) == pytest.approx(491.52 / 989)
    assert gpu_report.mfu(6e9, 16_384, 0.2, 0.0) is None


def test_a_row_of_a_step_says_what_its_numbers_say() -> None:
    row = {
        "table": "steps",
        "subject": "dense",
        "row": "none",
        "seconds": [0.1, 0.2, 0.3, 0.2, 0.9],
        "tokens": 16_384,
        "train_flops_per_token": 6e9,
        "peak_bytes": 44_000_000_000,
        "planned_bytes": 40_000_000_000,
        "planned_seconds": 0.1,
    }
    (told,) = table_of(gpu_report.document({"chip": CHIP}, [row], "# Title"), gpu_report.TITLES["steps"])
    assert told["s/step"] == "0.2000"
    assert told["quartiles"] == "0.2000 to 0.3000 of 5"
    assert (told["tokens/s"], told["MFU"]) == ("81,920", "49.7%")
    assert (told["peak GB"], told["peak / plan"], told["measured / plan"]) == ("44.00", "1.10", "2.00")


def test_a_row_of_a_kernel_tells_its_share_of_what_can_be_reached() -> None:
    row = {"table": "matmuls", "subject": "fine triton", "row": "even, product", "flops": 4e12, "error": 2e-3}
    good, bad = row | {"seconds": [0.01]}, row | {"error": 0.5, "failed": "wrong: an error of 5.00e-01"}
    page = gpu_report.document({"chip": CHIP}, [good, bad], "# Title")
    told, refused = table_of(page, gpu_report.TITLES["matmuls"])
    assert (told["ms"], told["TFLOP/s"], told["of achievable"]) == ("10.000", "400", "50%")
    assert (refused["ms"], refused["TFLOP/s"], refused["error"]) == ("failed", "–", "5.0e-01")
    assert "- matmuls, fine triton, even, product: wrong: an error of 5.00e-01" in page


@pytest.mark.parametrize(("tokens", "n_experts", "top_k"), [(512, 8, 2), (512, 16, 4), (4096, 64, 8)])
def test_balanced_routing_gives_each_expert_as_many_tokens(
    tokens: int, n_experts: int, top_k: int, workers: None
) -> None:
    import step_worker

    experts_TK = np.asarray(step_worker.even_experts(tokens, n_experts, top_k))
    assert np.bincount(experts_TK.ravel()).tolist() == [tokens * top_k // n_experts] * n_experts
    assert all(len(set(row)) == top_k for row in experts_TK.tolist())


def test_only_documents_that_shall_be_balanced_are(workers: None) -> None:
    import step_worker

    from moec.runtime.batch import Batch
    from moec.runtime.experts import route

    x = jax.random.normal(jax.random.key(0), (2, 32, 8))
    router = jax.random.normal(jax.random.key(1), (8, 4))
    ids = jnp.stack([jnp.ones(32, jnp.int32), jnp.full(32, step_worker.BALANCED)])
    options = {"top_k": 2, "score": "softmax", "order": "score_then_topk"}
    batch = Batch(ids, ids, ids, ids, jnp.ones(ids.shape))
    own = route(x, router, batch, **options).experts_BSK
    overruled = step_worker.with_balance(route)(x, router, batch, **options).experts_BSK
    np.testing.assert_array_equal(overruled[0], own[0])
    assert np.bincount(np.asarray(overruled[1]).ravel()).tolist() == [16] * 4
    assert np.bincount(np.asarray(own[1]).ravel(), minlength=4).tolist() != [16] * 4


def test_programs_are_written_for_the_chip_that_is_named(tmp_path: Path) -> None:
    emit(BENCHMARKS / "specs" / "gpu.moe", tmp_path, "h200")
    work = gpu_tasks.read_work(tmp_path)
    assert work["chip"]["name"] == "h200"
    assert 'hardware="h200"' in (tmp_path / "dense" / "program.py").read_text(encoding="utf-8")
    names = {task.subject for task in gpu_tasks.tasks_of(work, tmp_path) if task.group == "kernels"}
    assert {"narrow mosaic_gpu", "cudnn_of_more", "49,152 rows of 2,048", "49,152 rows of 1,536"} <= names


def test_a_process_that_hangs_is_killed_and_keeps_what_it_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpu_workers").mkdir()
    hang = 'import time\nprint(\'{"row": "one", "seconds": [1.0]}\', flush=True)\ntime.sleep(60)\n'
    (tmp_path / "gpu_workers" / "hang.py").write_text(hang, encoding="utf-8")
    monkeypatch.setattr(gpu_tasks, "FOLDER", tmp_path)
    task = gpu_tasks.Task("kernels", "matmuls", "hang", "hang", {}, ("one", "two"), {})
    rows = list(gpu_tasks.Running(task, dict(os.environ)).rows(1.0))
    assert rows == [{"row": "one", "seconds": [1.0]}, {"row": "two", "failed": "killed after 1 s"}]


def test_only_one_process_has_the_device_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpu_workers").mkdir()
    worker = (
        "import json, sys, time\n"
        f"sys.path.append({str(BENCHMARKS / 'gpu_workers')!r})\n"
        "from answers import answers, take_turn\n"
        "told = answers()\ntake_turn()\nbegan = time.time()\ntime.sleep(0.3)\n"
        "told.tell('own', seconds=[began, time.time()])\n"
    )
    (tmp_path / "gpu_workers" / "sleep.py").write_text(worker, encoding="utf-8")
    monkeypatch.setattr(gpu_tasks, "FOLDER", tmp_path)
    environment = dict(os.environ) | {gpu_tasks.TURN: str(tmp_path / "turn")}
    task = gpu_tasks.Task("kernels", "matmuls", "sleep", "sleep", {}, ("own",), {})
    both = [gpu_tasks.Running(task, environment) for _ in range(2)]
    first, second = sorted(row["seconds"] for running in both for row in running.rows(30.0))
    assert first[1] <= second[0]


def test_kernels_are_told_apart_by_calls_and_by_what_they_are(workers: None) -> None:
    import device_trace

    profile = device_trace.jax.profiler.ProfileData.from_text_proto(
        """
planes { name: "/device:GPU:0"
  event_metadata { key: 1 value { id: 1 name: "nvjet_sm90_128x256" } }
  event_metadata { key: 2 value { id: 2 name: "loop_add_fusion_7" } }
  lines { name: "Stream #14(Compute)"
    events { metadata_id: 2 offset_ps: 9000000 duration_ps: 4000000 }
    events { metadata_id: 1 offset_ps: 1000000 duration_ps: 2000000 }
    events { metadata_id: 2 offset_ps: 4000000 duration_ps: 3000000 }
    events { metadata_id: 1 offset_ps: 7000000 duration_ps: 1000000 } }
  lines { name: "Launch Stats" events { metadata_id: 1 duration_ps: 5000000 } } }
planes { name: "/host:CPU" lines { name: "Stream" events { metadata_id: 1 duration_ps: 5000000 } } }
"""
    )
    kernels = sorted(device_trace.in_profile(profile), key=lambda kernel: kernel.began)
    assert device_trace.seconds_of_calls(kernels, 2) == pytest.approx([5e-6, 5e-6])
    assert device_trace.seconds_of_calls(kernels, 3) == pytest.approx([10e-6 / 3] * 3)
    assert device_trace.parts_of(kernels) == pytest.approx({"all else": 7e-6, "matmuls": 3e-6})
    assert device_trace.waits(kernels) == pytest.approx({"nvjet_sm90_128x256": 2e-6})
    assert device_trace.longest(kernels, 1) == [("loop_add_fusion", pytest.approx(7e-6), 2)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Traceback:\n  at line 1\njaxlib.JaxRuntimeError: RESOURCE_EXHAUSTED:\n  of memory",
            "RESOURCE_EXHAUSTED: of memory",
        ),
        ("Traceback:\n    assert this\nAssertionError\n", "assert this AssertionError"),
        ("warning\nSegmentation fault\n", "Segmentation fault"),
        ("", ""),
    ],
)
def test_the_reason_of_an_end_is_the_last_error_that_was_said(said: str, reason: str) -> None:
    assert gpu_tasks.reason_of(-6, said).startswith("status -6: ")
    assert gpu_tasks.reason_of(-6, said).endswith(reason)


def test_torch_is_left_out_with_a_line_where_it_sees_no_gpu(workers: None) -> None:
    import torch_worker
    from answers import Answers

    out = Told()
    with contextlib.redirect_stdout(io.StringIO()):
        torch_worker.measure({"work": {}, "seconds": 0.0}, Answers(out))
    assert [set(row) for row in out.rows()] == [{"row", "skipped"}]


@pytest.mark.slow
def test_the_tiny_form_measures_everything(tmp_path: Path) -> None:
    results = tmp_path / "tiny.md"
    arguments = ("--tiny", "--rounds", "2", "--results", str(results), "--cache", str(tmp_path / "cache"))
    subprocess.run((sys.executable, str(BENCHMARKS / "gpu.py"), *arguments), check=True, timeout=900)
    page = results.read_text(encoding="utf-8")
    assert "## What failed" not in page
    counts = {name: len(table_of(page, title)) for name, title in gpu_report.TITLES.items()}
    assert counts == {"roofline": 3, "matmuls": 12, "attention": 4, "norms": 0, "steps": 9, "torch": 0}
    steps = table_of(page, gpu_report.TITLES["steps"])
    assert {row["busiest"] for row in steps if row["routing"] == "balanced"} == {"1.00"}
    assert all(int(row["quartiles"].rpartition(" ")[2]) >= 6 for row in steps)  # of two rounds
