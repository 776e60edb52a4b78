"""The kernels' workers of benchmarks/gpu.py, as far as a CPU can take them: what is wrong is seen, what is right is
timed."""

from __future__ import annotations

import functools
from typing import Any

import gpu_tasks
import jax
import numpy as np
import pytest
from jax import numpy as jnp
from told import Told

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_a_wrong_kernel_is_a_failed_row_without_a_time(workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import matmul_worker
    from answers import Answers

    def refuse(*_: jax.Array) -> jax.Array:
        raise ValueError("it does not like this")

    own = matmul_worker.operations

    def operations(kernel: str, given: matmul_worker.Given) -> Any:
        if kernel != "new":
            return own(kernel, given)
        calls, slots = own("batched", given)
        right, late = calls["product"], calls["gradient to rows"]
        wrong = {"product": right, "gradient to rows": lambda: 1.1 * late(), "gradient to weights": refuse}
        return wrong, slots

    monkeypatch.setattr(matmul_worker, "operations", operations)
    wanted = {"kernel": "new", "tokens": 64, "top_k": 2, "n_experts": 4, "d_model": 16, "d_ff": 32, "dtype": "float32"}
    out = Told()
    matmul_worker.measure(wanted | {"loads": ["uneven"], "seconds": 0.01}, Answers(out))
    rows = {row["row"]: row for row in out.rows()}
    assert "seconds" not in rows["uneven, gradient to rows"]
    assert rows["uneven, gradient to rows"]["failed"].startswith("wrong: an error of 1.00e-01")
    assert rows["uneven, gradient to weights"]["failed"] == "ValueError: it does not like this"
    assert rows["uneven, product"]["error"] < 1e-5
    assert len(rows["uneven, product"]["seconds"]) >= 5


def test_the_operations_of_a_gpu_s_kernel_are_right_step_by_step_on_a_cpu(
    workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matmul_worker
    from jax.experimental import pallas as pl

    monkeypatch.setattr(pl, "pallas_call", functools.partial(pl.pallas_call, interpret=True))
    wanted = {"tokens": 32, "top_k": 2, "n_experts": 2, "d_model": 64, "d_ff": 64, "dtype": "bfloat16"}
    given = matmul_worker.case(wanted, "uneven")
    calls, slots = matmul_worker.operations("triton", given)
    for name, call in calls.items():
        assert matmul_worker.error(name, given, slots, call) < 1e-2, name


def test_norms_are_held_to_the_reference_step_by_step_on_a_cpu(workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import norm_worker
    from answers import Answers
    from jax.experimental import pallas as pl

    monkeypatch.setattr(pl, "pallas_call", functools.partial(pl.pallas_call, interpret=True))
    wanted = {"rows": 16, "width": 48, "dtype": "bfloat16", "seconds": 0.01}
    out = Told()
    norm_worker.measure(wanted, Answers(out))
    assert [row["row"] for row in out.rows()] == list(gpu_tasks.OPERATIONS["norms"])
    assert all(row["error"] < 1e-2 and row["seconds"] for row in out.rows())
    exact = norm_worker.exact
    monkeypatch.setattr(norm_worker, "exact", lambda x, added, scale, slopes: exact(added, x, 1 + scale, slopes))
    wrong = Told()
    norm_worker.measure(wanted, Answers(wrong))
    assert all("wrong" in row["failed"] for row in wrong.rows())


@pytest.mark.parametrize("loads", ["even", "uneven", "one"])
def test_every_choice_has_an_expert(workers: None, loads: str) -> None:
    import matmul_worker

    wanted = {"tokens": 64, "top_k": 2, "n_experts": 4, "d_model": 8, "d_ff": 8, "dtype": "float32"}
    counts = np.bincount(matmul_worker.case(wanted, loads).experts_J, minlength=4)
    assert counts.sum() == 128
    assert (counts.tolist() == [32] * 4) is (loads == "even")
    assert (counts.tolist() == [128, 0, 0, 0]) is (loads == "one")


def test_one_wrong_row_and_numbers_that_are_none_are_seen(workers: None) -> None:
    from timing import judge, worst_error

    reference = jax.random.normal(jax.random.key(0), (1000, 16))
    one_off = reference.at[7].multiply(1.5)
    assert worst_error(one_off, reference) == pytest.approx(0.5)
    assert "failed" in judge(lambda: worst_error(reference.at[3, 3].set(jnp.nan), reference), "bfloat16")
    assert judge(lambda: worst_error(reference, reference), "float32") == {"error": 0.0}


def test_attention_that_sees_other_documents_is_wrong(workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import attention_worker

    ids = attention_worker.segments({"sequences": 2, "length": 32}, "packed")
    assert sorted(set(ids.ravel().tolist())) == list(range(attention_worker.DOCUMENTS_OF_SEQUENCE + 1))
    # Two products of 8 numbers, 2 FLOPs each, for 10 + 3 pairs of tokens.
    counted = attention_worker.flops({"n_heads": 1, "d_head": 8}, np.asarray([[1, 1, 1, 1, 2, 2]]))
    assert counted == 4 * 8 * 13
    keys = jax.random.split(jax.random.key(0), 4)
    q, k, v, gradient = (
        jax.random.normal(key, (2, 32, heads, 8)) for key, heads in zip(keys, (4, 2, 2, 4), strict=True)
    )

    reference = attention_worker.references(jnp.asarray(ids), (q, k, v), gradient)

    def error(operation: str) -> float:
        """Calls are made anew, for a compiled one would not see the kernel that the test puts in its place."""
        attend = attention_worker.attention("blockwise", jnp.asarray(ids), None)
        call = attention_worker.both(attend, gradient)[operation]
        return attention_worker.error(call, (q, k, v), reference)

    assert error("forward and gradients") < 1e-4
    order = np.arange(32)
    causal = order[:, None] >= order
    seen = np.stack([causal & (ids[0][:, None] == ids[0]), causal])  # blind in the second sequence alone
    blind = lambda q, k, v, segments, **more: attention_worker.attention_kernels.reference(  # noqa: E731
        q, k, v, jnp.asarray(seen), softcap=None
    )
    monkeypatch.setattr(attention_worker.attention_kernels, "blockwise", blind)
    assert error("forward") > 0.1
