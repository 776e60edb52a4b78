"""Slots against the loops of the reference, and the gathers against one-hot matmuls."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime import dispatch, reference

pytestmark = pytest.mark.usefixtures("quick_compilation")

GROUPS, TOKENS, TOP_K, N_EXPERTS, WIDTH = 3, 8, 2, 4, 5


def random_experts(seed: int = 0) -> np.ndarray:
    """Distinct choices of every token [G, S, K], uneven, the last token of each group padding."""
    rng = np.random.default_rng(seed)
    chances = np.array([0.6, 0.25, 0.1, 0.05])
    choices = [rng.choice(N_EXPERTS, TOP_K, replace=False, p=chances) for _ in range(GROUPS * TOKENS)]
    experts = np.array(choices, np.int32).reshape(GROUPS, TOKENS, TOP_K)
    experts[:, -1] = N_EXPERTS
    return experts


def kept_by_reference(experts_GSK: np.ndarray, capacity: int) -> list[set[int]]:
    flat = experts_GSK.reshape(-1, TOP_K)
    choices = [[reference.Choice(int(expert), 1.0) for expert in row if expert < N_EXPERTS] for row in flat]
    kept = reference.keep(choices, n_experts=N_EXPERTS, group_size=TOKENS, capacity=capacity)
    return [{choice.expert for choice in chosen} for chosen in kept]


@pytest.mark.parametrize("capacity", [1, 2, 3, TOKENS])
def test_choices_are_kept_in_the_order_of_the_reference(capacity: int) -> None:
    experts = random_experts()
    slots = dispatch.assign_slots(jnp.asarray(experts), N_EXPERTS, capacity)
    kept = np.asarray(slots.kept)
    flat = experts.reshape(-1, TOP_K)
    ours = [{int(expert) for expert, has in zip(flat[t], kept[t], strict=True) if has} for t in range(len(flat))]
    assert ours == kept_by_reference(experts, capacity)


@pytest.mark.parametrize("capacity", [2, TOKENS])
def test_slots_and_choices_name_each_other(capacity: int) -> None:
    experts = random_experts(1)
    slots = dispatch.assign_slots(jnp.asarray(experts), N_EXPERTS, capacity)
    flat = experts.reshape(-1)
    for slot, choice in enumerate(np.asarray(slots.choice_of_slot_R)):
        if choice == flat.size:
            assert slots.token_of_slot_R[slot] == GROUPS * TOKENS
            continue
        assert slots.slot_of_choice_TK.reshape(-1)[choice] == slot
        assert slots.token_of_slot_R[slot] == choice // TOP_K
        assert slot // (GROUPS * capacity) == flat[choice]
        assert slot // capacity % GROUPS == choice // (TOKENS * TOP_K)


@pytest.mark.parametrize("seed", range(4))
def test_counting_gives_what_sorting_gives(seed: int) -> None:
    experts = jnp.asarray(random_experts(seed).reshape(-1, TOP_K))
    sorted_slots, sorted_counts = dispatch.sort_by_expert(experts, N_EXPERTS)
    slots, counts = dispatch.count_by_expert(experts, N_EXPERTS)
    jax.tree.map(np.testing.assert_array_equal, (slots, counts), (sorted_slots, sorted_counts))


@pytest.mark.parametrize("capacity", [1, 2, 3, TOKENS])
def test_what_fits_by_counting_is_what_gets_a_slot(capacity: int) -> None:
    experts = jnp.asarray(random_experts(6))
    kept = dispatch.assign_slots(experts, N_EXPERTS, capacity).kept
    np.testing.assert_array_equal(dispatch.fits_by_counting(experts, N_EXPERTS, capacity).reshape(kept.shape), kept)


def test_nobody_routed_leaves_every_row_empty() -> None:
    nobody = jnp.full((TOKENS, TOP_K), N_EXPERTS, jnp.int32)
    slots, counts = dispatch.count_by_expert(nobody, N_EXPERTS)
    assert not counts.any()
    assert not slots.kept.any()
    assert (slots.token_of_slot_R == TOKENS).all()


def test_rows_sorted_by_expert_have_no_gaps() -> None:
    experts = random_experts(2).reshape(-1, TOP_K)
    slots, counts = dispatch.sort_by_expert(jnp.asarray(experts), N_EXPERTS)
    np.testing.assert_array_equal(counts, np.bincount(experts.reshape(-1), minlength=N_EXPERTS)[:N_EXPERTS])
    in_order = experts.reshape(-1)[np.asarray(slots.choice_of_slot_R)[: counts.sum()]]
    np.testing.assert_array_equal(in_order, np.sort(experts.reshape(-1))[: counts.sum()])
    np.testing.assert_array_equal(slots.kept, experts < N_EXPERTS)


@pytest.mark.parametrize("multiple", [2, 5, 64])
@pytest.mark.parametrize("is_whole", [True, False], ids=["random", "all of one"])
def test_rows_sorted_by_expert_fill_whole_blocks(multiple: int, is_whole: bool) -> None:
    experts = random_experts(2).reshape(-1, TOP_K) if is_whole else np.full((GROUPS * TOKENS, TOP_K), 1)
    slots, sizes = dispatch.sort_by_expert(jnp.asarray(experts), N_EXPERTS, multiple=multiple)
    counts = np.bincount(experts.reshape(-1), minlength=N_EXPERTS)[:N_EXPERTS]
    np.testing.assert_array_equal(sizes, -(-counts // multiple) * multiple)
    choices, flat = np.asarray(slots.choice_of_slot_R), experts.reshape(-1)
    assert choices.shape[0] % multiple == 0
    assert choices.shape[0] >= sizes.sum()
    for expert, end in enumerate(np.cumsum(sizes)):
        own = choices[end - sizes[expert] : end]
        assert (flat[own[: counts[expert]]] == expert).all()
        assert (own[counts[expert] :] == flat.size).all()
    assert (choices[sizes.sum() :] == flat.size).all()
    taken = np.flatnonzero(choices < flat.size)
    np.testing.assert_array_equal(np.asarray(slots.slot_of_choice_TK).reshape(-1)[choices[taken]], taken)
    np.testing.assert_array_equal(np.asarray(slots.token_of_slot_R)[taken], choices[taken] // TOP_K)
    np.testing.assert_array_equal(slots.kept, experts < N_EXPERTS)


@pytest.mark.parametrize("capacity", [2, TOKENS])
def test_gathers_and_one_hot_matmuls_are_the_same_functions_with_the_same_gradients(capacity: int) -> None:
    slots = dispatch.assign_slots(jnp.asarray(random_experts(3)), N_EXPERTS, capacity)
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.normal(size=(GROUPS * TOKENS, WIDTH)), jnp.float32)
    weights = jnp.asarray(rng.uniform(size=(GROUPS * TOKENS, TOP_K)), jnp.float32)

    def round_trip(to, back):
        return lambda x, weights: jnp.sum(jnp.sin(back(jnp.cos(to(x, slots)), weights, slots)))

    gathers = jax.value_and_grad(round_trip(dispatch.to_slots, dispatch.from_slots), argnums=(0, 1))(x, weights)
    matmuls = jax.value_and_grad(round_trip(dispatch.to_slots_onehot, dispatch.from_slots_onehot), argnums=(0, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gathers, matmuls(x, weights))


def test_the_gradient_of_dispatch_has_no_scatter() -> None:
    slots = dispatch.assign_slots(jnp.asarray(random_experts(5)), N_EXPERTS, 3)
    x, weights = jnp.ones((GROUPS * TOKENS, WIDTH)), jnp.ones((GROUPS * TOKENS, TOP_K))

    def total(x, weights):
        return dispatch.from_slots(dispatch.to_slots(x, slots), weights, slots).sum()

    assert "scatter" not in str(jax.make_jaxpr(jax.grad(total, argnums=(0, 1)))(x, weights))
