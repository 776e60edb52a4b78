"""Layers that take some tokens of a sequence: against loops in numpy, against the dense block, and in generation."""

from __future__ import annotations

import dataclasses
import importlib.util
import re

import jax
import numpy as np
import pytest
from flax import nnx
from jax import numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from moec.runtime.depth_routing import choose_tokens, gather_tokens, report_depth, scatter_tokens, score_tokens
from moec.runtime.generate import Sampling, generate
from moec.runtime.initializer import Initializer, init_sharded
from moec.runtime.mesh import MeshShape, make_mesh
from moec.runtime.proof.groups import extent_of
from moec.runtime.recorder import of_routers
from moec.runtime.state import initial_state, lay_out

pytestmark = pytest.mark.usefixtures("quick_compilation")

SPEC = """
edition = 2026
model m {{
  vocab_size = 32
  seq_len    = 16
  n_layers   = {n_layers}
  d_model    = 16
  attention {{ n_heads = 2 }}
  ffn {{ d_ff = 24 }}
  init {{ embedding_std = 1 }}
  depth_routing {{ capacity = {capacity} }}
}}
mesh one {{ hardware = cpu, devices = 1 }}
budget short {{ steps = 8 }}
run r {{ model = m, mesh = one, budget = short, batch {{ tokens = 64 }}, layers {{ scan = {scan} }} }}
"""
MOVES_ROWS = re.compile(r" (all-gather|all-to-all|collective-permute)\(")
WIDTH = 6
RNG = np.random.default_rng(0)
W = RNG.normal(size=WIDTH).astype(np.float32)


@pytest.fixture(scope="module")
def load(compile_text, tmp_path_factory):
    """`load(capacity, n_layers, scan)`: the module of a program."""

    def module_of(capacity: str, n_layers: int = 3, *, scan: str = "false"):
        path = tmp_path_factory.mktemp("program") / "program.py"
        text = SPEC.format(capacity=capacity, n_layers=n_layers, scan=scan)
        path.write_text(compile_text(text)["r"].program)
        spec = importlib.util.spec_from_file_location("routed", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return module_of


def stream(batch, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*batch.tokens_BS.shape, width)).astype(np.float32)


def best(scores_S: np.ndarray, real_S: np.ndarray, capacity: int) -> list[int]:
    """The rows of one sequence that are taken, by sorting."""
    order = sorted(range(len(scores_S)), key=lambda row: (not real_S[row], -scores_S[row]))
    return sorted(order[:capacity])


@pytest.mark.parametrize("padding", [0, 3])
def test_the_best_tokens_are_taken_in_order_and_get_what_is_added(batch_of, padding) -> None:
    batch = batch_of(2, 8, padding=padding)
    x = stream(batch)
    scores = score_tokens(jnp.asarray(x), jnp.asarray(W), batch)
    choice = choose_tokens(scores, batch, capacity=3)
    taken = gather_tokens(jnp.asarray(x), choice)
    y = scatter_tokens(jnp.asarray(x), jnp.cos(taken), choice)
    expected = x.copy()
    for sequence in range(2):
        real = np.asarray(batch.segments_BS[sequence]) > 0
        by_hand = x[sequence] @ W
        rows = best(by_hand, real, 3)
        assert choice.rows_BC[sequence].tolist() == rows
        np.testing.assert_array_equal(taken[sequence], x[sequence, rows])
        np.testing.assert_array_equal(choice.batch.positions_BS[sequence], batch.positions_BS[sequence, rows])
        np.testing.assert_array_equal(choice.batch.segments_BS[sequence], batch.segments_BS[sequence, rows])
        for row in rows:
            expected[sequence, row] += by_hand[row] * np.cos(x[sequence, row])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_where_too_few_tokens_are_real_padding_is_taken_and_gets_nothing(batch_of) -> None:
    batch = batch_of(1, 8, padding=6)
    x = jnp.asarray(stream(batch))
    choice = choose_tokens(score_tokens(x, jnp.asarray(W), batch), batch, capacity=4)
    assert int(choice.taken_BS.sum()) == 2
    y = scatter_tokens(x, jnp.ones((1, 4, WIDTH)), choice)
    np.testing.assert_array_equal(y[0, 2:], x[0, 2:])
    assert np.all(y[0, :2] != x[0, :2])


def test_the_report_is_cross_entropy_by_hand_over_real_tokens(batch_of) -> None:
    batch = batch_of(2, 8, padding=2)
    x = stream(batch)
    choice = choose_tokens(score_tokens(jnp.asarray(x), jnp.asarray(W), batch), batch, capacity=2)
    losses, above = [], []
    for sequence in range(2):
        real = np.asarray(batch.segments_BS[sequence]) > 0
        scores = (x[sequence] @ W).astype(np.float64)
        rows = best(scores, real, 2)
        for row in np.flatnonzero(real):
            probability = 1 / (1 + np.exp(-scores[row]))
            losses.append(-np.log(probability if row in rows else 1 - probability))
            above.append(scores[row] > 0)
    report = report_depth(choice)
    np.testing.assert_allclose(report.aux_loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(report.taken_in_decoding, np.mean(above), rtol=1e-6)


def test_a_layer_that_takes_all_tokens_with_score_one_is_the_dense_block(load, batch_of, monkeypatch) -> None:
    module, batch = load("1"), batch_of(2, 16)
    monkeypatch.setattr(module, "score_tokens", lambda x, w, batch: jnp.ones(x.shape[:2]))
    block = module.RoutedBlock(Initializer(0).layer(1))
    x = jnp.asarray(stream(batch, width=16))
    routed, dense = block(x, batch, None).x_BSD, block.block(x, batch, None).x_BSD
    real = np.asarray(batch.segments_BS) > 0
    assert np.abs(np.asarray(dense - x)[real]).max() > 0.1
    np.testing.assert_allclose(np.asarray(routed)[real], np.asarray(dense)[real], rtol=1e-5, atol=1e-5)


def test_taken_tokens_see_one_another_at_their_own_positions_and_nothing_else(load, batch_of) -> None:
    module, batch = load("0.25"), batch_of(2, 16)
    block = module.RoutedBlock(Initializer(0).layer(1))
    x = jnp.asarray(stream(batch, width=16))
    y = block(x, batch, None).x_BSD
    for sequence in range(2):
        scores = np.asarray(x[sequence] @ block.w_depth[...])
        rows = np.array(best(scores, np.asarray(batch.segments_BS[sequence]) > 0, 4))
        alone = jax.tree.map(lambda array, rows=rows, i=sequence: array[i : i + 1, rows], batch)
        inside = block.block(x[sequence : sequence + 1, rows], alone, None).x_BSD[0]
        expected = np.array(x[sequence])
        expected[rows] += scores[rows, None] * (np.asarray(inside) - expected[rows])
        np.testing.assert_allclose(y[sequence], expected, rtol=1e-4, atol=1e-5)


def hidden(model, batch) -> np.ndarray:
    return np.asarray(model(batch).hidden_BSD)


def test_a_later_token_changes_nothing_before_it_where_the_batch_is_causal(load, batch_of) -> None:
    model = load("0.25").Model(Initializer(0))
    batch = batch_of(1, 16, padding=0, segments=1)
    changed = dataclasses.replace(batch, tokens_BS=batch.tokens_BS.at[0, 12].add(1) % 32)
    causal, causal_changed = (dataclasses.replace(one, causal=True) for one in (batch, changed))
    before, after = hidden(model, causal), hidden(model, causal_changed)
    np.testing.assert_array_equal(before[0, :12], after[0, :12])
    assert np.any(before[0, 12] != after[0, 12])


def test_the_best_of_a_sequence_do_look_ahead(load, batch_of) -> None:
    """Why a causal batch is needed at all: where the last token is another, earlier ones are no longer the best."""
    block = load("0.25").RoutedBlock(Initializer(0).layer(1))
    batch = batch_of(1, 16, padding=0, segments=1)
    x = jnp.asarray(stream(batch, width=16))
    louder = x.at[0, 15].set(10 * block.w_depth[...])
    before, after = block(x, batch, None).x_BSD, block(louder, batch, None).x_BSD
    assert np.abs(np.asarray(before - after)[0, :15]).max() > 0.1


@pytest.mark.parametrize("scan", [pytest.param("false", marks=pytest.mark.slow), "true"])
def test_text_written_token_by_token_is_what_the_whole_causal_model_says(load, batch_of, scan) -> None:
    module = load("0.25", 4, scan=scan)
    layout = lay_out(module.PROGRAM, make_mesh(module.PROGRAM.mesh))
    weights = initial_state(module.PROGRAM, layout).weights
    prompt = np.array([3, 1, 4, 1, 5], np.int32)
    written = generate(layout, weights, prompt, Sampling(tokens=7, temperature=0.0, top_k=0, seed=0))
    batch = batch_of(1, 12, padding=0, segments=1)
    tokens = jnp.asarray(np.concatenate([prompt, written]))[None]
    batch = dataclasses.replace(batch, tokens_BS=tokens, causal=True)
    model = nnx.merge(layout.graph, weights.params, weights.untrained)
    output = model(batch)
    assert 0.1 < float(jnp.mean(output.routers.taken_in_decoding)) < 0.9
    likeliest = np.argmax(output.hidden_BSD[0] @ model.head_DV(), axis=-1)
    assert written.tolist() == likeliest[len(prompt) - 1 : -1].tolist()


def test_the_auxiliary_loss_teaches_scores_to_tell_alone_who_is_taken(batch_of) -> None:
    batch = batch_of(4, 16, padding=0)
    x = jnp.asarray(stream(batch))
    target = jnp.asarray(W)

    @jax.jit
    def step(w):
        def loss(w):
            choice = choose_tokens(score_tokens(x, target, batch), batch, capacity=4)
            choice = dataclasses.replace(choice, scores_BS=score_tokens(x, w, batch) - 1.0)
            return report_depth(choice).aux_loss

        value, gradient = jax.value_and_grad(loss)(w)
        return w - gradient, value

    w, losses = jnp.zeros(WIDTH), []
    for _ in range(50):
        w, value = step(w)
        losses.append(float(value))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("axes", [{"data": 2, "model": 4}, {"fsdp": 2, "expert": 2, "model": 2}])
def test_a_mesh_changes_nothing_and_moves_no_tokens(batch_of, axes) -> None:
    batch = batch_of(8, 16)
    sizes = {"data": 1, "fsdp": 1, "expert": 1, "seq": 1, "model": 1, **axes}
    x, w = jnp.asarray(stream(batch, width=16)), jnp.asarray(RNG.normal(size=16), jnp.float32)

    def through(x, w, batch):
        choice = choose_tokens(score_tokens(x, w, batch), batch, capacity=4)
        y = scatter_tokens(x, jnp.cos(gather_tokens(x, choice)), choice)
        return jnp.sum(y**2) + report_depth(choice).aux_loss

    expected = jax.grad(through, argnums=(0, 1))(x, w, batch)
    mesh = make_mesh(MeshShape("cpu", **sizes))
    rows = P(("data", "fsdp", "expert"), None)
    with jax.set_mesh(mesh):
        placed = jax.device_put(batch, NamedSharding(mesh, rows))
        x_placed = jax.device_put(x, NamedSharding(mesh, P(*rows, "model")))
        step = jax.jit(jax.grad(through, argnums=(0, 1))).lower(x_placed, w, placed).compile()
        found = step(x_placed, w, placed)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    moved = [line for line in step.as_text().splitlines() if MOVES_ROWS.search(line)]
    assert {extent_of(line, sizes).name for line in moved} <= {"", "model"}


@pytest.mark.parametrize("scan", [pytest.param("false", marks=pytest.mark.slow), "true"])
def test_a_program_has_the_same_gradients_on_eight_devices(load, batch_of, scan) -> None:
    program, batch = load("0.25", 4, scan=scan).PROGRAM, batch_of(8, 16)
    graph, params, other = nnx.split(program.model(Initializer(0)), nnx.Param, ...)

    def loss(params, batch):
        return program.objective(nnx.merge(graph, params, other), batch).loss

    expected = jax.jit(jax.grad(loss))(params, batch)
    mesh = make_mesh(MeshShape("cpu", data=2, fsdp=2, expert=1, seq=1, model=2))
    with jax.set_mesh(mesh):
        _, wide, _ = init_sharded(program, mesh)
        placed = jax.device_put(batch, NamedSharding(mesh, P(("data", "fsdp", "expert"), None)))
        found = jax.jit(jax.grad(loss))(wide, placed)
    for one, other_one in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.any(other_one)
        np.testing.assert_allclose(one, other_one, rtol=2e-3, atol=2e-5)


def test_a_step_records_what_decoding_would_take(load, batch_of) -> None:
    routers = load("0.25", 5).Model(Initializer(0))(batch_of(2, 16)).routers
    (record,) = of_routers(routers).items()
    assert record[0] == "taken_in_decoding"
    assert len(record[1]) == 2
    assert all(0 <= fraction <= 1 for fraction in record[1])
