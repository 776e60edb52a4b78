"""Generation with the cache gives what the whole model gives, and the same text for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from jax import numpy as jnp

from moec.runtime.batch import Batch
from moec.runtime.generate import Sampling, generate, generation_mesh
from moec.runtime.mesh import MeshShape, make_mesh
from moec.runtime.program import Program
from moec.runtime.state import Layout, Weights, initial_state, lay_out
from moec.runtime.trained import continue_text

PROMPT = np.array([0, 97, 98, 99, 32, 100], np.int32)


def fresh_weights(program: Program) -> tuple[Layout, Weights]:
    layout = lay_out(program, make_mesh(program.mesh))
    return layout, initial_state(program, layout).weights


@pytest.fixture(scope="module")
def fresh(tiny: Program) -> tuple[Layout, Weights]:
    """Untrained weights on one device."""
    return fresh_weights(tiny)


def likeliest_next(layout: Layout, weights: Weights, ids: np.ndarray) -> np.ndarray:
    """The likeliest token after each prefix of `ids`, by one pass of the whole model without a cache."""

    @jax.jit
    def predict(weights: Weights, tokens_BS: jax.Array) -> jax.Array:
        ones = jnp.ones_like(tokens_BS)
        positions = jnp.arange(tokens_BS.shape[1], dtype=jnp.int32)[None]
        batch = Batch(tokens_BS, 0 * ones, positions, ones, ones.astype(jnp.float32), dropless=True)
        model = nnx.merge(layout.graph, weights.params, weights.untrained)
        return jnp.argmax(model(batch).hidden_BSD[0] @ model.head_DV(), axis=-1)

    return np.asarray(predict(weights, jnp.asarray(ids)[None]))


def test_greedy_text_is_what_the_whole_model_says_without_a_cache(fresh: tuple[Layout, Weights]) -> None:
    generated = generate(*fresh, PROMPT, Sampling(tokens=8, temperature=0.0, top_k=0, seed=0))
    expected = likeliest_next(*fresh, np.concatenate([PROMPT, generated]))
    assert generated.tolist() == expected[len(PROMPT) - 1 : -1].tolist()


def test_the_same_seed_gives_the_same_text_and_another_seed_another(fresh: tuple[Layout, Weights]) -> None:
    texts = [
        generate(*fresh, PROMPT, Sampling(tokens=24, temperature=1.0, top_k=0, seed=seed)).tolist()
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_one_choice_is_the_likeliest_at_any_temperature(fresh: tuple[Layout, Weights]) -> None:
    greedy = generate(*fresh, PROMPT, Sampling(tokens=8, temperature=0.0, top_k=0, seed=0))
    single = generate(*fresh, PROMPT, Sampling(tokens=8, temperature=5.0, top_k=1, seed=3))
    assert single.tolist() == greedy.tolist()


def test_one_token_can_be_asked_for(fresh: tuple[Layout, Weights]) -> None:
    assert generate(*fresh, PROMPT[:1], Sampling(tokens=1, temperature=0.0, top_k=0, seed=0)).shape == (1,)


def test_eight_devices_write_what_one_writes(fresh: tuple[Layout, Weights], on_mesh: Callable[..., Program]) -> None:
    sampling = Sampling(tokens=8, temperature=0.0, top_k=0, seed=0)
    wide = fresh_weights(on_mesh(fsdp=2, expert=2, model=2))
    assert generate(*wide, PROMPT, sampling).tolist() == generate(*fresh, PROMPT, sampling).tolist()


def test_the_sequence_axis_becomes_data_in_generation() -> None:
    shape = MeshShape(hardware="cpu", data=2, fsdp=2, expert=1, seq=4, model=1)
    assert generation_mesh(shape) == replace(shape, data=8, seq=1)


@pytest.mark.parametrize("prompt", ["", "abc"])
def test_a_checkpoint_continues_its_prompt(prompt: str, tiny: Program, trained: Path) -> None:
    text = continue_text(tiny, trained, prompt, Sampling(tokens=10, temperature=0.8, top_k=8, seed=0))
    assert text.startswith(prompt)
    assert len(text.encode(errors="replace")) >= len(prompt) + 10
