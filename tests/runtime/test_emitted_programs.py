"""Emitted programs run: one step of each, and their weights are those of the plan."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from jax import numpy as jnp

from moec.compiler.emit import program_hash as emitted_hash
from moec.runtime import program_hash
from moec.runtime.batch import Batch
from moec.runtime.initializer import Initializer

GOLDEN = Path(__file__).parents[1] / "golden"
PROGRAMS = sorted(GOLDEN.glob("*/*/program.py"))
IN_HASTE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

BASE = """
edition = 2026
model m {{
  vocab_size = 64
  seq_len    = 16
  n_layers   = {n_layers}
  d_model    = 16
  attention {{ n_heads = 4, n_kv_heads = 2, d_head = 4, {attention} }}
  ffn {{ d_ff = 24, {ffn} }}
  {experts}
  {model}
}}
mesh one {{ hardware = cpu, devices = 1 }}
budget short {{ steps = 8 }}
run r {{ model = m, mesh = one, budget = short, batch {{ tokens = 64, {batch} }}
  optimizer {{ {optimizer} }}
  {run}
}}
"""
EXPERTS = "experts {{ every = 2, n_experts = 4, top_k = 2, d_ff = 8, balance_loss = 0.01, {more} }}"
DEFAULTS = {
    "n_layers": "2",
    "attention": "",
    "ffn": "activation = swiglu",
    "experts": "",
    "model": "",
    "batch": "",
    "optimizer": "kind = adamw",
    "run": "",
}


def moe(more: str) -> str:
    """An experts block with more fields."""
    return EXPERTS.format(more=more)


CAPACITY = "capacity_factor = 1.5"
DROPLESS = "capacity_factor = dropless"
SIGMOID = "score = sigmoid, order = score_then_topk, bias_update_rate = 0.01, scale = 2.5, bias = true"
SCANNED = "layers { scan = true }"

TOGETHER = {
    "dense": {},
    "tied, every option of attention, geglu, lion": {
        "model": "tie_embeddings = true, logits_softcap = 20, logits_z_loss = 1e-3",
        "attention": "qk_norm = true, bias = true, window = 8, softcap = 20, rope_theta = 500",
        "ffn": "activation = geglu, bias = true",
        "optimizer": "kind = lion, schedule = constant, warmup_steps = 0, clip_norm = none",
    },
    "layernorm after, gelu, adafactor, remat of dots": {
        "model": "norm { kind = layernorm, placement = post }",
        "ffn": "activation = gelu, norm = post",
        "optimizer": "kind = adafactor, warmup_steps = 0",
        "run": "remat { policy = save_dots }",
    },
    "experts in slots, muon, stable then down, remat by name": {
        "experts": moe(f"{CAPACITY}, grouped_matmul = batched"),
        "optimizer": "kind = muon, schedule = warmup_stable_decay, warmup_steps = 2, decay_steps = 3",
        "run": "remat { policy = names, save = [attention_out, expert_hidden] }",
    },
    "dropless experts, z-loss, bfloat16 logits, micro-batches": {
        "experts": moe(f"{DROPLESS}, z_loss = 1e-3"),
        "model": "dtype { logits = bfloat16 }",
        "batch": "micro = 32",
    },
    "sigmoid and shared experts after dense layers, hybrid, scanned": {
        "n_layers": "5",
        "experts": moe(f"{CAPACITY}, {SIGMOID}, first_dense = 1, offset = 1, n_shared_experts = 2, activation = relu2"),
        "model": "norm { placement = hybrid }",
        "run": SCANNED,
    },
    "some tokens of every other layer, after, bias, bfloat16 stream, remat": {
        "n_layers": "5",
        "experts": "depth_routing { capacity = 0.25, aux_loss = 0.1 }",
        "attention": "qk_norm = true",
        "ffn": "norm = post, bias = true",
        "model": "norm { kind = layernorm }, dtype { compute = bfloat16 }",
        "run": "remat { policy = full }",
    },
}
"""Between them they have every option that changes the text of a program."""

APART = {
    "the reference kernel of attention": {"attention": "kernel = reference"},
    "relu2": {"ffn": "activation = relu2"},
    "experts in one-hot slots": {"experts": moe(f"{CAPACITY}, dispatch = onehot, grouped_matmul = reference")},
    "dropless experts by reference": {"experts": moe(f"{DROPLESS}, grouped_matmul = reference")},
    "sigmoid experts with biases that move": {"experts": moe(f"{CAPACITY}, {SIGMOID}")},
    "softmax of all, not renormalised": {
        "experts": moe(f"{CAPACITY}, order = score_then_topk, renormalize = false, activation = gelu")
    },
    "scan, full remat": {"n_layers": "4", "run": SCANNED + "\n  remat { policy = full }"},
    "muon on scanned experts": {
        "n_layers": "4",
        "experts": moe(f"{CAPACITY}, grouped_matmul = batched"),
        "optimizer": "kind = muon",
        "run": SCANNED,
    },
    "some tokens of all layers": {"experts": "depth_routing { capacity = 0.5, every = 1 }"},
    "muon on scanned layers that take some tokens": {
        "n_layers": "4",
        "experts": "depth_routing { capacity = 0.25 }",
        "optimizer": "kind = muon",
        "run": SCANNED,
    },
    "adafactor on scanned experts": {
        "n_layers": "4",
        "experts": moe(CAPACITY),
        "optimizer": "kind = adafactor",
        "run": SCANNED,
    },
}


def load_program(path: Path):
    """The module of an emitted program."""
    spec = importlib.util.spec_from_file_location(f"emitted_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PROGRAM


def synthetic_batch(sequences: int, seq_len: int, vocab_size: int) -> Batch:
    """Random tokens, each row one document."""
    shape = (sequences, seq_len)
    tokens = jax.random.randint(jax.random.key(1), shape, 0, vocab_size)
    positions = jnp.broadcast_to(jnp.arange(seq_len), shape)
    weights = jnp.full(shape, 1 / (sequences * seq_len), jnp.float32)
    return Batch(tokens, jnp.roll(tokens, -1, axis=1), positions, jnp.ones(shape, jnp.int32), weights)


def take_a_step(program, sequences: int, vocab_size: int):
    """The weights, the objective, the gradients and the update, in one computation that is compiled in haste."""
    batch = synthetic_batch(sequences, program.training.seq_len, vocab_size)
    optimizer = program.optimizer()

    @partial(jax.jit, compiler_options=IN_HASTE)
    def step():
        graph, params, untrained = nnx.split(program.model(Initializer(program.training.seed)), nnx.Param, ...)

        def loss(params):
            objective = program.objective(nnx.merge(graph, params, untrained), batch)
            return objective.loss, objective

        gradients, objective = jax.grad(loss, has_aux=True)(params)
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        return params, objective, gradients, updates

    return step()


def n_params(params) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("options", TOGETHER)
def test_a_program_with_these_options_takes_a_step(options, compile_text, tmp_path):
    check_step(TOGETHER[options], compile_text, tmp_path / "program.py")


@pytest.mark.slow
@pytest.mark.parametrize("options", APART)
def test_a_program_with_these_options_alone_takes_a_step(options, compile_text, tmp_path):
    check_step(APART[options], compile_text, tmp_path / "program.py")


def check_step(options, compile_text, path):
    """One step: finite numbers, a sensible loss, a gradient for every weight, as many weights as the plan says."""
    path.write_text(compile_text(BASE.format(**DEFAULTS | options))["r"].program)
    program = load_program(path)
    params, objective, gradients, updates = take_a_step(program, sequences=2, vocab_size=64)
    assert n_params(params) == program.expectations.params
    assert np.isfinite(objective.loss)
    np.testing.assert_allclose(objective.loss, sum(objective.terms.values()), rtol=1e-5)
    assert 0.5 * np.log(64) < objective.terms["cross_entropy"] < 3 * np.log(64)
    for leaf in jax.tree.leaves((gradients, updates)):
        assert np.all(np.isfinite(leaf))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients))
    if program.after_step is not None:
        check_biases_move(program, objective)


def check_biases_move(program, objective):
    """The router's bias of the busiest expert falls, the sum of loads being fixed."""

    @partial(jax.jit, compiler_options=IN_HASTE)
    def before_and_after():
        model = program.model(Initializer(0))
        before = jax.tree.leaves(nnx.state(model))
        program.after_step(model, objective.routers)
        return before, jax.tree.leaves(nnx.state(model))

    moved = [new - old for old, new in zip(*before_and_after(), strict=True) if np.any(new != old)]
    assert len(moved) == 1
    assert moved[0].ravel()[np.argmax(objective.routers.load)] < 0


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_a_golden_program_has_the_weights_that_its_plan_counts(path):
    program = load_program(path)
    model = nnx.eval_shape(lambda: program.model(Initializer(0)))
    assert n_params(nnx.state(model, nnx.Param)) == program.expectations.params


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_a_golden_program_takes_a_step(path):
    program = load_program(path)
    if program.mesh.hardware != "cpu":
        pytest.skip("too large for this machine")
    _, objective, *_ = take_a_step(program, sequences=2, vocab_size=256)
    assert np.isfinite(objective.loss)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_compiler_and_runtime_agree_on_the_hash_of_a_program(path):
    text = path.read_text()
    for program in (text, text + "\n", text.replace("sha256:", "sha256:0", 1), "x = 1\n"):
        assert program_hash.is_as_written(program) is emitted_hash.is_as_written(program)
    assert program_hash.is_as_written(text) is True
