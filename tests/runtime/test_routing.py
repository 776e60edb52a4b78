"""The router against the loops of the reference."""

import dataclasses
from itertools import product

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime import reference
from moec.runtime.routing import report_routing, route

pytestmark = pytest.mark.usefixtures("quick_compilation")

WIDTH, N_EXPERTS = 6, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 8, WIDTH)).astype(np.float32)
W = RNG.normal(size=(WIDTH, N_EXPERTS)).astype(np.float32)
BIAS = np.array([0.3, -0.2, 0.0, 0.1, -0.4], np.float32)
OPTIONS = list(product(["softmax", "sigmoid"], ["topk_then_score", "score_then_topk"], [True, False], [None, BIAS]))


@pytest.mark.parametrize(("score", "order", "renormalize", "bias"), OPTIONS)
def test_choices_and_weights_are_those_of_the_reference(batch_of, score, order, renormalize, bias) -> None:
    batch = batch_of(2, 8)
    options = {"top_k": 3, "score": score, "order": order, "renormalize": renormalize, "scale": 1.5}
    given = None if bias is None else jnp.asarray(bias)
    routing = route(jnp.asarray(X), jnp.asarray(W), batch, **options, bias=given)
    choices = []
    for row, place in np.ndindex(2, 8):
        if not batch.segments_BS[row, place]:
            assert (routing.experts_BSK[row, place] == N_EXPERTS).all()
            assert not routing.weights_BSK[row, place].any()
            continue
        expected = reference.choose(X[row, place] @ W, **options, bias_E=bias)
        choices.append(expected)
        assert [choice.expert for choice in expected] == routing.experts_BSK[row, place].tolist()
        weights = [choice.weight for choice in expected]
        np.testing.assert_allclose(routing.weights_BSK[row, place], weights, rtol=1e-4)
    logits = X[np.asarray(routing.real_BS)] @ W
    report = report_routing(routing, jnp.float32(0.25))
    np.testing.assert_allclose(report.balance_loss, reference.balance_loss(logits, choices, score), rtol=1e-4)
    np.testing.assert_allclose(report.z_loss, reference.z_loss(logits), rtol=1e-4)
    np.testing.assert_allclose(report.load.sum(), 1.0, rtol=1e-5)
    assert report.dropped == 0.25


def test_the_balance_loss_is_one_when_scores_and_choices_are_even(batch_of) -> None:
    batch = batch_of(1, N_EXPERTS, padding=0, segments=1)
    logits = 5.0 * np.eye(N_EXPERTS, dtype=np.float32)
    routing = route(
        jnp.asarray(logits[None]), jnp.eye(N_EXPERTS), batch, top_k=1, score="softmax", order="score_then_topk"
    )
    np.testing.assert_allclose(report_routing(routing, jnp.float32(0)).balance_loss, 1.0, rtol=1e-6)


def test_a_bias_gets_no_gradient_and_leaves_the_weights_of_its_choice_alone(batch_of) -> None:
    batch = batch_of(2, 8)

    def weights(bias):
        options = {"top_k": 2, "score": "sigmoid", "order": "score_then_topk", "renormalize": False}
        return route(jnp.asarray(X), jnp.asarray(W), batch, **options, bias=bias)

    assert not jax.grad(lambda bias: weights(bias).weights_BSK.sum())(jnp.asarray(BIAS)).any()
    forced = weights(jnp.asarray([0, 0, 0, 0, 10.0]))
    real = np.asarray(forced.real_BS)
    assert (forced.experts_BSK[..., 0][real] == 4).all()
    np.testing.assert_allclose(forced.weights_BSK[..., 0][real], 1 / (1 + np.exp(-(X @ W)[..., 4][real])), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_padding_token_that_is_not_a_number_poisons_no_gradient(batch_of, dtype) -> None:
    batch = batch_of(2, 8)
    poisoned = jnp.where(batch.segments_BS[..., None] > 0, X, jnp.nan)

    def loss(w, x):
        routing = route(x, w, batch, top_k=2, score="softmax", order="topk_then_score")
        report = report_routing(routing, jnp.float32(0))
        return routing.weights_BSK[..., 0].sum() + report.balance_loss + report.z_loss

    gradients = jax.grad(loss, argnums=(0, 1))
    clean, dirty = (gradients(jnp.asarray(W), jnp.asarray(x, dtype)) for x in (X, poisoned))
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_the_router_computes_in_float32_from_bfloat16_tokens(batch_of) -> None:
    x = jnp.asarray(X, jnp.bfloat16)
    routing = route(x, jnp.asarray(W), batch_of(2, 8), top_k=2, score="softmax", order="topk_then_score")
    real = np.asarray(routing.real_BS)
    exact = np.asarray(x, np.float64)[real] @ W.astype(np.float64)
    np.testing.assert_allclose(np.asarray(routing.logits_BSE)[real], exact, rtol=1e-4, atol=1e-5)


def test_generation_asks_for_no_drops(batch_of) -> None:
    batch = dataclasses.replace(batch_of(2, 8), dropless=True)
    assert route(jnp.asarray(X), jnp.asarray(W), batch, top_k=2, score="softmax", order="topk_then_score").dropless
