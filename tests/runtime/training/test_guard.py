"""A step that is not finite, or that spikes, changes nothing but the count of skipped steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime import session
from moec.runtime.batch import Batch
from moec.runtime.checkpoints import committed_steps
from moec.runtime.failure import RunError
from moec.runtime.guard import GuardState, judge, new_guard
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Checkpoints, Guard, Program
from moec.runtime.recovery import recover
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import TrainState, lay_out

Records = Callable[[Path], list[dict[str, Any]]]
Trainer = Callable[..., int]
Judge = Callable[[GuardState, float, float], tuple[jax.Array, GuardState]]

FACTOR, WINDOW = 4.0, 128


@pytest.fixture(scope="module")
def judged() -> Judge:
    return jax.jit(lambda state, loss, norm: judge(Guard(FACTOR, WINDOW, 10), state, loss, norm))


def fed(judged: Judge, losses: list[float], norms: list[float]) -> tuple[list[bool], GuardState]:
    state, taken = new_guard(Guard(FACTOR, WINDOW, 10)), []
    for loss, norm in zip(losses, norms, strict=True):
        found, state = judged(state, loss, norm)
        taken.append(bool(found))
    return taken, state


def spikes(found: list[float], window: list[float]) -> bool:
    """The rule in numpy, from what was accepted before."""
    newest = np.array(window[-WINDOW:], np.float32)
    return len(window) >= WINDOW // 2 and found[-1] > newest.mean() + FACTOR * newest.std()


def test_the_rule_is_that_of_numpy_over_the_accepted_steps(judged: Judge) -> None:
    draw = np.random.default_rng(3)
    losses = [float(x) for x in draw.normal(3.0, 0.1, 300).astype(np.float32)]
    for step, size in ((20, 9.0), (90, 9.0), (91, 9.0), (200, 3.5), (280, 3.3)):
        losses[step] = size
    taken, state = fed(judged, losses, [1.0] * 300)
    accepted: list[float] = []
    for step, loss in enumerate(losses):
        expected = not spikes([loss], accepted)
        assert taken[step] == expected, step
        accepted += [loss] if expected else []
    assert not taken[90]
    assert not taken[91]
    assert taken[20]
    assert int(state.skipped) == 300 - len(accepted)
    np.testing.assert_allclose(np.sort(state.losses_W), np.sort(accepted[-WINDOW:]), rtol=1e-6)


def test_a_gradient_norm_spikes_as_a_loss_does(judged: Judge) -> None:
    norms = [1.0 + 0.01 * (step % 5) for step in range(80)] + [2.0, 1.0]
    taken, _ = fed(judged, [1.0] * 82, norms)
    assert taken == [True] * 80 + [False, True]


@pytest.mark.parametrize(("window", "skipped"), [(8, True), (12, False)])
def test_nothing_is_a_spike_before_half_a_window(window: int, skipped: bool) -> None:
    guard = Guard(spike=FACTOR, window=window, max_skips=10)
    state = new_guard(guard)
    for loss in (1.0, 1.1, 1.0, 1.1):
        _, state = judge(guard, state, jnp.float32(loss), jnp.float32(1.0))
    taken, state = judge(guard, state, jnp.float32(9.0), jnp.float32(1.0))
    assert bool(taken) is not skipped
    assert state.losses_W.shape == (window,)


def test_what_left_the_window_is_forgotten() -> None:
    """Losses rise to a new level: usual to a guard of 4 steps, a spike to one of 64."""
    taken = {}
    for window in (4, 64):
        guard = Guard(spike=FACTOR, window=window, max_skips=10)
        state = replace(new_guard(guard), accepted=jnp.int32(40))
        recent = jnp.arange(window) >= window - 4
        state = replace(
            state,
            losses_W=jnp.where(recent, 3.0 + 0.1 * (jnp.arange(window) % 2), 1.0),
            grad_norms_W=jnp.ones(window),
        )
        taken[window] = bool(judge(guard, state, jnp.float32(3.2), jnp.float32(1.0))[0])
    assert taken == {4: True, 64: False}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_never_taken_and_never_remembered(bad: float) -> None:
    for loss, norm in ((bad, 1.0), (1.0, bad)):
        guard = Guard(None, WINDOW, 10)
        taken, state = judge(guard, new_guard(guard), jnp.float32(loss), jnp.float32(norm))
        assert not taken
        assert np.isfinite(state.losses_W).all()
        assert np.isfinite(state.grad_norms_W).all()
        assert (int(state.accepted), int(state.skipped), int(state.skipped_in_a_row)) == (0, 1, 1)


def test_a_step_that_is_taken_ends_the_row(judged: Judge) -> None:
    _, state = fed(judged, [1.0, float("nan"), float("nan"), 1.0, float("nan")], [1.0] * 5)
    assert (int(state.skipped), int(state.skipped_in_a_row)) == (3, 1)


@pytest.fixture
def with_weights(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], None]:
    """Multiplies the weights of the targets, and so the loss, of some steps."""
    original = session.train_batches

    def install(factors: dict[int, float]) -> None:
        def batches(*arguments: Any, first_step: int, **options: Any) -> Iterator[Batch]:
            found = original(*arguments, first_step=first_step, **options)
            for step, batch in enumerate(found, start=first_step + 1):
                yield replace(batch, weights_BS=batch.weights_BS * np.float32(factors.get(step, 1.0)))

        monkeypatch.setattr(session, "train_batches", batches)

    return install


def saved(program: Program, folder: Path) -> TrainState:
    layout = lay_out(program, make_mesh(program.mesh))
    found = recover(
        RunDirectory(folder), (program.identity,), layout.abstract, lambda step, reason: pytest.fail(reason)
    )
    assert found is not None
    return found.tree


def test_a_step_that_is_not_finite_leaves_weights_moments_and_biases_untouched_and_is_counted(
    tiny: Program,
    train_in: Trainer,
    records: Records,
    with_weights: Callable[[dict[int, float]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_weights({4: float("nan")})
    states = []
    for steps in (3, 4, 6):
        assert train_in(tiny, tmp_path, steps) == 0
        states.append(saved(tiny, tmp_path))
    before, after, later = (replace(state, guard=None) for state in states)
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert not np.array_equal(*(jax.tree.leaves(state.params)[0] for state in (after, later)))
    found = records(tmp_path / "metrics.jsonl")
    assert [record["skipped"] for record in found] == [0, 0, 0, 1, 1, 1]
    assert found[3]["loss"] is None
    assert found[3]["grad_norm"] is None
    assert found[3]["learning_rate"] == found[4]["learning_rate"] != found[5]["learning_rate"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["skipped_steps"] == 1
    assert result["loss"] == found[-1]["loss"]
    assert "step 4 was skipped, it was not finite: loss nan" in capsys.readouterr().out


def test_a_spike_is_skipped_where_the_run_says_so(
    tiny: Program, train_in: Trainer, records: Records, with_weights: Callable[[dict[int, float]], None], tmp_path: Path
) -> None:
    with_weights({70: 100.0})
    guarded = replace(tiny, guard=Guard(spike=6.0, window=WINDOW, max_skips=3))
    for name, program in (("guarded", guarded), ("not", tiny)):
        assert train_in(replace(program, checkpoints=Checkpoints(0, 1)), tmp_path / name, 72) == 0
    assert [record["skipped"] for record in records(tmp_path / "guarded" / "metrics.jsonl")][-4:] == [0, 1, 1, 1]
    assert records(tmp_path / "not" / "metrics.jsonl")[-1]["skipped"] == 0


def test_too_many_skipped_steps_in_a_row_end_the_run(
    tiny: Program, train_in: Trainer, records: Records, with_weights: Callable[[dict[int, float]], None], tmp_path: Path
) -> None:
    with_weights({step: float("inf") for step in (2, 4, 5, 6)})
    strict = replace(tiny, guard=Guard(spike=None, window=WINDOW, max_skips=3))
    message = r"3 steps in a row .* the last of them, 6, because it was not finite.*the weights are those of step 3"
    with pytest.raises(RunError, match=message) as caught:
        train_in(strict, tmp_path, 20)
    assert caught.value.exit_code == 1
    assert [record["skipped"] for record in records(tmp_path / "metrics.jsonl")] == [0, 1, 1, 2, 3, 4]
    assert committed_steps(RunDirectory(tmp_path))[-1] == 2
