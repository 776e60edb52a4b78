"""Real programs are compiled for eight virtual devices and held against their plans."""

from __future__ import annotations

import importlib.util
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from moec.compiler.artifacts import compile_run
from moec.compiler.pipeline import plan_run
from moec.compiler.resolve import resolve
from moec.runtime.proof.against_plan import Proof, judge
from moec.runtime.proof.compile_step import measure
from moec.runtime.proof.expectation import read_expectation
from moec.runtime.proof.report import as_json, as_markdown, as_text
from moec.runtime.proof.targets import read_target
from moec.spec.loader import load_text
from moec.spec.reader import read

SPEC = """
edition = 2026
model m {{
  vocab_size = 512
  seq_len    = 64
  n_layers   = {n_layers}
  d_model    = 128
  attention {{ n_heads = 4, n_kv_heads = 4, d_head = 32 }}
  ffn {{ d_ff = 256, activation = swiglu }}
  {experts}
}}
mesh eight {{ {mesh} }}
budget short {{ steps = 8 }}
run r {{
  model = m, mesh = eight, budget = short
  batch {{ tokens = 2Ki }}
  remat {{ {remat} }}
  layers {{ scan = {scan} }}
}}
"""
EXPERTS = "experts { every = 2, n_experts = 8, top_k = 2, d_ff = 256, capacity_factor = 1.25, balance_loss = 0.01 }"
CPU = "hardware = cpu, devices = 8, axes { data = 2, fsdp = 2, expert = 2 }"

NEWER = pytest.mark.skipif(
    jax.__version_info__ < (0, 11), reason="XLA of jax 0.10 sums gradients over all axes at once, more than planned"
)

Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles the spec of this file into a folder and gives its program.py."""

    def compile_spec(
        *, experts: str = EXPERTS, mesh: str = CPU, remat: str = "none", n_layers: int = 2, scan: str = "false"
    ) -> Path:
        policy = remat if "policy" in remat else f"policy = {remat}"
        text = SPEC.format(experts=experts, mesh=mesh, remat=policy, n_layers=n_layers, scan=scan)
        files, _ = load_text("r.moe", text, root=tmp_path)
        typed, told = resolve(read(files)[0])
        plan, more = plan_run(typed.runs[0])
        assert plan is not None, (told, more)
        artifacts = compile_run(plan)
        (tmp_path / "program.py").write_text(artifacts.program, encoding="utf-8")
        (tmp_path / "plan.json").write_text(artifacts.plan_json, encoding="utf-8")
        return tmp_path / "program.py"

    return compile_spec


def prove_here(program_file: Path, target: str = "cpu:8") -> Proof:
    """The proof made in this process, which has eight virtual devices."""
    program = runpy.run_path(str(program_file))["PROGRAM"]
    chosen = read_target(target, 1, program.mesh)
    expectation = read_expectation(program_file.parent)
    return judge(measure(program, chosen, expectation=expectation), expectation, chosen)


@pytest.mark.parametrize(("remat", "exchanges"), [pytest.param("none", 4, marks=pytest.mark.slow), ("full", 6)])
def test_a_moe_layer_exchanges_slots_twice_each_way_inside_the_expert_axis(
    compiled: Compile, remat: str, exchanges: int
) -> None:
    proof = prove_here(compiled(remat=remat))
    assert proof.failures == ()
    over_expert = [entry.row for entry in proof.collectives if "expert" in entry.row.axis.split("+")]
    assert [(row.axis, row.count) for row in over_expert if row.op == "all-to-all"] == [("expert", exchanges)]
    assert {row.op for row in over_expert} == {"all-to-all", "all-reduce"}
    moved = next(entry for entry in proof.collectives if entry.row.op == "all-to-all")
    assert moved.row.bytes == moved.planned_bytes


@pytest.mark.parametrize(
    ("axes", "remat"),
    [
        ("fsdp = 8", "full"),
        pytest.param("fsdp = 4, model = 2", "full", marks=NEWER),
        pytest.param("fsdp = 4, seq = 2", "full", marks=NEWER),
        ("data = 2, model = 4", "none"),
    ],
)
def test_a_dense_model_sends_what_its_plan_says(compiled: Compile, axes: str, remat: str) -> None:
    mesh = f"hardware = cpu, devices = 8, axes {{ {axes} }}"
    proof = prove_here(compiled(experts="", mesh=mesh, remat=remat))
    assert proof.failures == ()
    assert proof.measured is not None
    assert proof.expectation is not None
    assert proof.measured.flops == pytest.approx(proof.expectation.executed_flops, rel=0.25)


SLOTS = EXPERTS.replace(" }", ", grouped_matmul = batched, n_shared_experts = 1 }")
IN_PARTS = f"{SLOTS} dtype {{ compute = bfloat16 }}"
KEPT = "policy = names, save = [attention_out, ffn_out, expert_out]"


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize(
    ("remat", "experts", "n_layers", "scan"),
    [
        ("full", "", 1, "false"),
        pytest.param("full", SLOTS, 4, "true", marks=pytest.mark.slow),
        pytest.param("none", SLOTS, 2, "false", marks=pytest.mark.slow),
        pytest.param("full", SLOTS, 2, "false", marks=pytest.mark.slow),
        pytest.param("full", "", 2, "true", marks=pytest.mark.slow),
        pytest.param("save_dots", SLOTS, 2, "false", marks=pytest.mark.slow),
        pytest.param("full", IN_PARTS, 2, "false", marks=pytest.mark.slow),
        pytest.param("save_dots", IN_PARTS, 2, "false", marks=pytest.mark.slow),
        pytest.param(KEPT, SLOTS, 2, "false", marks=pytest.mark.slow),
        pytest.param("full", "depth_routing { capacity = 0.25 }", 2, "false", marks=pytest.mark.slow),
    ],
)
def test_a_step_multiplies_what_its_plan_counts_to_the_last_product(
    compiled: Compile, remat: str, experts: str, n_layers: int, scan: str
) -> None:
    mesh = "hardware = cpu, devices = 8, axes { data = 8 }"
    proof = prove_here(compiled(experts=experts, mesh=mesh, remat=remat, n_layers=n_layers, scan=scan))
    assert proof.measured is not None
    assert proof.expectation is not None
    assert proof.measured.flops == pytest.approx(proof.expectation.executed_flops, rel=0.001)


def test_another_sharding_than_the_plan_s_fails_with_the_weight_s_name(compiled: Compile) -> None:
    program = compiled(experts="", mesh="hardware = cpu, devices = 8, axes { data = 8 }")
    text = program.read_text(encoding="utf-8")
    changed = text.replace('RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")', "RESIDUAL = P(None, None, None)")
    assert changed != text
    program.write_text(changed, encoding="utf-8")
    proof = prove_here(program)
    assert not proof.ok
    assert "the plan has no all-gather over data" in proof.failures[0]


def test_the_report_has_the_keys_of_the_language_and_reads_as_text(compiled: Compile) -> None:
    proof = prove_here(compiled())
    found = json.loads(as_json(proof))
    assert found["ok"] is True
    assert (found["target"], found["devices"]) == ("cpu:8", 8)
    assert {
        "compile_seconds",
        "hbm_bytes_per_device",
        "flops_per_device",
        "collectives",
        "against_plan",
    } <= found.keys()
    assert all({"op", "axis", "count", "bytes", "expected"} <= row.keys() for row in found["collectives"])
    text = as_text(proof)
    assert text.startswith("proven for cpu:8: 8 devices\n")
    assert "all-to-all          expert" in text
    assert text in as_markdown(proof)


def call(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, str(program), "prove", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_command_line_proves_writes_and_explains(compiled: Compile, tmp_path: Path) -> None:
    program = compiled()
    ended = call(program, "--save-hlo", str(tmp_path / "hlo"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads((tmp_path / "proof.json").read_text(encoding="utf-8"))["ok"] is True
    assert "ENTRY" in next((tmp_path / "hlo").iterdir()).read_text(encoding="utf-8")
    refused = call(program, "--target", "cpu:4")
    assert refused.returncode == 2
    assert "cpu:4 has 4 devices, and the program's mesh 8 (data 2 x fsdp 2 x expert 2)" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "mesh"),
    [
        ("libtpu", "hardware = tpu_v5p, topology = 2x2x2, axes { data = 2, fsdp = 2, expert = 2 }"),
        ("jax_cuda13_plugin", "hardware = h100, devices = 8, axes { data = 2, fsdp = 2, expert = 2 }"),
    ],
    ids=["tpu", "gpu"],
)
def test_a_program_is_proven_for_chips_that_are_not_here(compiled: Compile, module: str, mesh: str) -> None:
    program = compiled(mesh=mesh, remat="full")
    ended = call(program, "--format", "json")
    if importlib.util.find_spec(module) is None:
        assert ended.returncode == 2
        assert 'pip install "moec[' in ended.stderr
        return
    found = json.loads(ended.stdout)
    assert found["memory"]["temporaries_bytes"] > 0
    assert [(row["axis"], row["count"]) for row in found["collectives"] if row["op"] == "all-to-all"] == [("expert", 6)]
