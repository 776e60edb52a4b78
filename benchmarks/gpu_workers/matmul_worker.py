"""Grouped matmuls of one kernel at the shapes of one mixture: the product and both gradients, each held to a reference
in float32 before it is timed.

Tokens are spread over the experts in three ways: `even`, each expert gets as many, `uneven`, drawn from a Dirichlet
distribution, and `one`, where the first gets all. `batched` gets as many slots for each expert as the busiest needs, so
that nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from answers import Answers, Row, about_jax, answers, asked, take_turn
from jax import numpy as jnp
from timing import UNTUNED, Case, tell_each, worst_error

from moec.runtime.dispatch import Slots, assign_slots, sort_by_expert, to_slots
from moec.runtime.sorted_rows import ROWS_OF_EXPERT

CONCENTRATION = 20.0
"""Of the Dirichlet distribution of uneven loads: with 8 experts the busiest gets some 1.4 times the mean."""

OPERATIONS = ("product", "gradient to rows", "gradient to weights")
Call = Callable[[], jax.Array]


@dataclass(frozen=True, slots=True)
class Given:
    """What is multiplied: x [J, D] for J choices, each with its expert, w [E, D, F], and gradients y [J, F]."""

    experts_J: np.ndarray
    x_JD: jax.Array
    w_EDF: jax.Array
    y_JF: jax.Array

    @property
    def n_experts(self) -> int:
        return self.w_EDF.shape[0]

    @property
    def flops(self) -> float:
        """Of each operation, over the choices alone: empty rows are not counted."""
        return 2.0 * self.x_JD.shape[0] * self.w_EDF.shape[1] * self.w_EDF.shape[2]


def case(wanted: Row, loads: str) -> Given:
    """Random arrays of the wanted shapes, choices mixed up."""
    rng = np.random.default_rng(0)
    n_experts, d_model, d_ff = wanted["n_experts"], wanted["d_model"], wanted["d_ff"]
    choices = wanted["tokens"] * wanted["top_k"]
    shares = {
        "even": np.full(n_experts, 1 / n_experts),
        "uneven": rng.dirichlet([CONCENTRATION] * n_experts),
        "one": np.eye(n_experts)[0],
    }[loads]
    ends = np.round(np.cumsum(shares) * choices).astype(int)
    experts = np.repeat(np.arange(n_experts), np.diff(ends, prepend=0))
    keys = jax.random.split(jax.random.key(1), 3)
    shapes = (choices, d_model), (n_experts, d_model, d_ff), (choices, d_ff)
    x, w, y = (jax.random.normal(key, shape, wanted["dtype"]) for key, shape in zip(keys, shapes, strict=True))
    return Given(rng.permutation(experts), x, w, y)


def operations(kernel: str, given: Given) -> tuple[dict[str, Call], Slots]:
    """Calls of the kernel's three operations on rows in slots, and where the choices lie."""
    experts = jnp.asarray(given.experts_J, jnp.int32)[:, None]
    if kernel == "batched":
        busiest = int(np.bincount(given.experts_J).max())
        slots = assign_slots(experts[None], given.n_experts, busiest)
        x, y = (to_slots(array, slots).reshape(given.n_experts, busiest, -1) for array in (given.x_JD, given.y_JF))
        product, to_rows, to_weights = batched(given.x_JD.dtype)
        counts = None
    else:
        slots, counts = sort_by_expert(experts, given.n_experts, multiple=ROWS_OF_EXPERT[kernel])
        x, y = to_slots(given.x_JD, slots), to_slots(given.y_JF, slots)
        product, to_rows, to_weights = by_rows(kernel)
    w = given.w_EDF
    return dict(
        zip(
            OPERATIONS,
            (lambda: product(x, w, counts), lambda: to_rows(y, w, counts), lambda: to_weights(x, y, counts)),
            strict=True,
        )
    ), slots


def batched(dtype: jnp.dtype) -> tuple[Callable[..., jax.Array], ...]:
    """One matmul of XLA's for each operation, in full precision where numbers are float32."""
    exact = jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None

    def multiply(form: str) -> Callable[..., jax.Array]:
        options = UNTUNED if exact else {}
        return jax.jit(lambda a, b, _: jnp.einsum(form, a, b, precision=exact), compiler_options=options)

    return multiply("erd,edf->erf"), multiply("erf,edf->erd"), multiply("erd,erf->edf")


def by_rows(kernel: str) -> tuple[Callable[..., jax.Array], ...]:
    """The operations that the kernel's matmul and its gradient are made of, one by one."""
    from moec.runtime import mosaic_matmul, triton_matmul

    module = {"mosaic_gpu": mosaic_matmul, "triton": triton_matmul}[kernel]
    return (
        jax.jit(lambda x, w, counts: module.product(x, w, counts, transposed=False)),
        jax.jit(lambda y, w, counts: module.product(y, w, counts, transposed=True)),
        jax.jit(lambda x, y, counts: module.outer(x, y, counts).astype(x.dtype)),
    )


def error(operation: str, given: Given, slots: Slots, call: Call) -> float:
    """The worst error of a row of the product or of a gradient, against XLA's batched matmul in float32."""
    ours = call()
    exact = Given(given.experts_J, *(array.astype(jnp.float32) for array in (given.x_JD, given.w_EDF, given.y_JF)))
    calls, own = operations("batched", exact)
    reference = calls[operation]()
    if operation != "gradient to weights":
        ours, reference = of_choices(ours, slots), of_choices(reference, own)
    return worst_error(ours.reshape(-1, ours.shape[-1]), reference.reshape(-1, ours.shape[-1]))


def of_choices(rows: jax.Array, slots: Slots) -> jax.Array:
    """The rows of the choices, in their order; what lies in empty slots does not matter."""
    return rows.reshape(-1, rows.shape[-1])[slots.slot_of_choice_TK[:, 0]]


def measure(wanted: Row, told: Answers) -> None:
    """Tells a row for each load and operation; those that are wrong are not timed."""
    take_turn()
    for loads in wanted["loads"]:
        given = case(wanted, loads)
        calls, slots = operations(wanted["kernel"], given)
        cases = {
            f"{loads}, {name}": Case(
                call, partial(error, name, given, slots, call), {"flops": given.flops, **about_jax()}
            )
            for name, call in calls.items()
        }
        tell_each(told, cases, wanted["dtype"], wanted["seconds"])


if __name__ == "__main__":
    measure(asked(), answers())
