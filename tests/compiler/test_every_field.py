"""Every field of a spec changes the program or the plan: nothing that a user writes is accepted and ignored."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from moec.compiler.places import places_of_resolved
from moec.spec.fields.table import all_fields

GOLDEN = Path(__file__).parents[1] / "golden"
BASES = {
    "moe": (GOLDEN / "laptop/with_moe/resolved.moe").read_text(),
    "most": (GOLDEN / "maximal/scanned/resolved.moe").read_text(),
    "pod": (GOLDEN / "pod/pretrain/resolved.moe").read_text(),
    "depth": (GOLDEN / "depth/routed/resolved.moe").read_text(),
}
YUN = """\
  law = yun
  count = dense_equivalent
  coefficients {
    a = 500
    alpha = 0.35
    b = 1
    beta = 0.5
    c = 400
    gamma = 0.28
    f = 1.5
    d = -0.001
    e_start = 2
    e_max = 300
  }
}"""
BASES["yun"] = re.sub(r"(?ms)^(budget \w+ \{\n).*?^\}", lambda found: found[1] + YUN, BASES["pod"])

COEFFICIENTS = {
    "a": "900",
    "alpha": "0.3",
    "b": "2",
    "beta": "0.6",
    "c": "500",
    "gamma": "0.3",
    "f": "1.6",
    "d": "0.001",
    "e_start": "3",
    "e_max": "200",
}

CHANGES: dict[str, tuple[str, str] | tuple[str, str, dict[str, str | None]]] = {
    "model.vocab_size": ("moe", "512"),
    "model.seq_len": ("moe", "128"),
    "model.n_layers": ("moe", "6"),
    "model.d_model": ("moe", "256"),
    "model.tie_embeddings": ("moe", "true"),
    "model.logits_softcap": ("moe", "30"),
    "model.logits_z_loss": ("moe", "1e-4"),
    "model.attention.n_heads": ("moe", "8"),
    "model.attention.n_kv_heads": ("moe", "4"),
    "model.attention.d_head": ("moe", "64"),
    "model.attention.qk_norm": ("moe", "true"),
    "model.attention.rope_theta": ("moe", "500"),
    "model.attention.window": ("moe", "64"),
    "model.attention.bias": ("moe", "true"),
    "model.attention.softcap": ("moe", "20"),
    "model.attention.kernel": ("moe", "reference"),
    "model.attention.max_documents": ("moe", "8", {"mesh.hardware": "h100", "model.dtype.compute": "bfloat16"}),
    "model.ffn.d_ff": ("moe", "128"),
    "model.ffn.activation": ("moe", "geglu"),
    "model.ffn.norm": ("moe", "post"),
    "model.ffn.bias": ("moe", "true"),
    "model.experts.n_experts": ("moe", "16"),
    "model.experts.top_k": ("moe", "3"),
    "model.experts.d_ff": ("moe", "128"),
    "model.experts.activation": ("moe", "geglu"),
    "model.experts.bias": ("moe", "true"),
    "model.experts.norm": ("moe", "hybrid"),
    "model.experts.every": ("moe", "4"),
    "model.experts.offset": ("moe", "1"),
    "model.experts.first_dense": ("moe", "2"),
    "model.experts.n_shared_experts": ("moe", "1"),
    "model.experts.score": ("moe", "sigmoid", {"model.experts.z_loss": "0"}),
    "model.experts.order": ("moe", "topk_then_score"),
    "model.experts.renormalize": ("moe", "false"),
    "model.experts.scale": ("moe", "2"),
    "model.experts.capacity_factor": ("moe", "2"),
    "model.experts.group_size": ("moe", "128"),
    "model.experts.balance_loss": ("moe", "0.1"),
    "model.experts.z_loss": ("moe", "0.1"),
    "model.experts.bias_update_rate": ("moe", "0.1"),
    "model.experts.dispatch": ("moe", "onehot"),
    "model.experts.grouped_matmul": ("moe", "reference"),
    "model.depth_routing.capacity": ("depth", "0.25"),
    "model.depth_routing.every": ("depth", "3"),
    "model.depth_routing.offset": ("depth", "1"),
    "model.depth_routing.aux_loss": ("depth", "0.1"),
    "model.norm.kind": ("moe", "layernorm"),
    "model.norm.placement": ("moe", "post"),
    "model.norm.eps": ("moe", "1e-6"),
    "model.init.kind": ("moe", "normal"),
    "model.init.std": ("most", "0.5"),
    "model.init.embedding_std": ("moe", "1"),
    "model.init.depth_scaled": ("moe", "false"),
    "model.dtype.params": ("moe", "bfloat16"),
    "model.dtype.compute": ("moe", "bfloat16", {"mesh.hardware": "h100"}),
    "model.dtype.logits": ("moe", "bfloat16"),
    "mesh.hardware": ("moe", "h100"),
    "mesh.devices": ("most", "16", {"mesh.axes.data": "auto", "mesh.axes.model": "2"}),
    "mesh.topology": ("pod", "8x8x16", {"mesh.devices": None}),
    "mesh.slices": ("pod", "2", {"mesh.devices": None}),
    "mesh.axes.data": ("most", "2"),
    "mesh.axes.fsdp": ("most", "1", {"mesh.axes.data": "auto", "mesh.axes.model": "2"}),
    "mesh.axes.expert": ("most", "4"),
    "mesh.axes.seq": ("most", "2"),
    "mesh.axes.model": ("most", "1", {"mesh.axes.data": "auto", "mesh.axes.model": "2"}),
    "data.source": ("moe", '"corpus/*.txt"'),
    "data.format": ("moe", "jsonl"),
    "data.text_field": ("moe", '"body"'),
    "data.tokenizer": ("moe", '"words.json"'),
    "data.split": ("moe", "0.1"),
    "data.packing": ("moe", "concatenate"),
    "data.seed": ("moe", "1"),
    "data.mixture": ("most", "[0.5, 0.5]"),
    "budget.tokens": ("moe", "2M"),
    "budget.steps": ("most", "50"),
    "budget.train_flops": ("moe", "2e13", {"budget.tokens": None, "budget.train_flops": "1e13"}),
    "budget.hours": ("moe", "2", {"budget.tokens": None, "budget.hours": "1"}),
    "budget.law": ("pod", "hoffmann", {"budget.tokens_per_param": None}),
    "budget.count": ("pod", "total"),
    "budget.tokens_per_param": ("pod", "30"),
    **{
        f"budget.coefficients.{name}": ("yun", value, {"run.optimizer.warmup_steps": "auto"})
        for name, value in COEFFICIENTS.items()
    },
    "run.seed": ("moe", "1"),
    "run.batch.tokens": ("moe", "8192"),
    "run.batch.micro": ("moe", "2048"),
    "run.optimizer.kind": ("most", "adamw"),
    "run.optimizer.peak_lr": ("moe", "0.1"),
    "run.optimizer.weight_decay": ("moe", "0.2"),
    "run.optimizer.b1": ("moe", "0.8"),
    "run.optimizer.b2": ("most", "0.8"),
    "run.optimizer.eps": ("most", "1e-5"),
    "run.optimizer.clip_norm": ("moe", "none"),
    "run.optimizer.schedule": ("most", "cosine", {"run.optimizer.decay_steps": None}),
    "run.optimizer.warmup_steps": ("moe", "7"),
    "run.optimizer.decay_steps": ("most", "20"),
    "run.optimizer.final_lr_ratio": ("moe", "0.5"),
    "run.remat.policy": ("moe", "full"),
    "run.remat.save": ("most", "[ffn_hidden]"),
    "run.remat.offload": ("most", "[ffn_hidden]"),
    "run.checkpoint.every_steps": ("moe", "50"),
    "run.checkpoint.keep": ("moe", "1"),
    "run.guard.spike": ("moe", "6"),
    "run.guard.window": ("moe", "64", {"run.guard.spike": "6"}),
    "run.guard.max_skips": ("moe", "3"),
    "run.eval.every_steps": ("moe", "50"),
    "run.eval.tokens": ("moe", "4096"),
    "run.layers.scan": ("moe", "true"),
}
"""Field -> (base, its new value, what else the base must have first). None takes a field out."""

REFERENCES = {"run.model", "run.mesh", "run.data", "run.budget"}
"""Fields whose value is another block."""

ELSEWHERE = {"model.scale", "budget.equal_to", "budget.sparsity", "budget.max_sparsity"}
"""Fields that need another law, another budget or another run beside them: tests/compiler/test_scale.py, test_laws.py
and test_wall_clock.py change them."""

STUDY = {"study.runs", "study.match", "study.seeds", "study.report"}
"""Fields of what is done with the programs of several runs: they change no single one."""


def with_value(text: str, path: str, value: str | None) -> str:
    """A resolved spec with another value of one field; None takes it out; a field that is not there is put in."""
    places = places_of_resolved(text).by_path
    key = path.removeprefix("run.")
    rows = text.split("\n")
    if key not in places:
        parent = places[key.rpartition(".")[0]].position.line
        rows.insert(parent, f"{key.rpartition('.')[2]} = {value}")
        return "\n".join(rows)
    line = places[key].position.line - 1
    head = rows[line].partition("=")[0]
    rows[line : line + 1] = [f"{head}= {value}"] if value is not None else []
    return "\n".join(rows)


def essence(made) -> tuple[str, str]:
    """What a program does, but for words and the hash of the spec, and the plan but for places."""
    tree = ast.parse(made.program)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
        elif isinstance(node, ast.keyword) and node.arg == "identity":
            node.value = ast.Constant("")
    plan = json.loads(made.plan_json)
    for row in plan["derivations"]:
        row["place"] = None
    return ast.dump(tree), json.dumps(plan)


@pytest.mark.parametrize("path", CHANGES)
def test_the_field_changes_the_program_or_the_plan(path, compile_text):
    base, value, *more = CHANGES[path]
    text = BASES[base]
    for other, given in (more[0] if more else {}).items():
        text = with_value(text, other, given)
    before = only(compile_text(text))
    after = only(compile_text(with_value(text, path, value)))
    assert essence(before) == essence(before)
    assert essence(before) != essence(after)


def only(made):
    (artifacts,) = made.values()
    return artifacts


REFERRING = """
edition = 2026
model a {{ vocab_size = 256, seq_len = 16, n_layers = 1, d_model = 8, attention {{ n_heads = 1 }}, ffn {{ d_ff = 8 }} }}
model b extends a {{ d_model = 16 }}
mesh a {{ hardware = cpu, devices = 1 }}
mesh b {{ hardware = cpu, devices = 2, axes {{ data = 2 }} }}
data a {{ source = python_stdlib, tokenizer = bytes }}
data b extends a {{ seed = 1 }}
budget a {{ steps = 5 }}
budget b {{ steps = 6 }}
run r {{ model = {model}, mesh = {mesh}, data = {data}, budget = {budget}, batch {{ tokens = 64 }} }}
"""


@pytest.mark.parametrize("path", sorted(REFERENCES))
def test_a_reference_to_another_block_changes_the_program(path, compile_text):
    names = dict.fromkeys(("model", "mesh", "data", "budget"), "a")
    before = only(compile_text(REFERRING.format(**names)))
    after = only(compile_text(REFERRING.format(**names | {path.removeprefix("run."): "b"})))
    assert essence(before)[0] != essence(after)[0]


def test_every_field_of_the_table_is_tried():
    known = {path for path, info in all_fields() if not info.documentation}
    assert known == set(CHANGES) | REFERENCES | STUDY | ELSEWHERE
