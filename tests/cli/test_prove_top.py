"""`moec plan --prove-top`: the planner's best candidates before the compiler, which has the last word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from moec.cli import prove_top
from moec.cli.command import Failure
from moec.cli.prove_top import Verdict, pick, verdict_of
from moec.compiler.pipeline import best_plans, plan_run
from moec.compiler.plan import Plan
from moec.compiler.resolve import resolve
from moec.spec.loader import load_text
from moec.spec.reader import read

SPEC = """edition = 2026
model dense {
  vocab_size = 256, seq_len = 64, n_layers = 2, d_model = 64
  attention { n_heads = 4 }
  ffn { d_ff = 128 }
}
mesh two { hardware = cpu, devices = 2, axes { data = auto, fsdp = auto, model = auto } }
mesh one { hardware = cpu, devices = 1 }
budget short { steps = 10 }
run open { model = dense, mesh = two, budget = short, batch { tokens = 1Ki } }
run closed extends open { mesh = one }
"""

PROVEN, TIMED, FASTER = (Verdict(True, "proven", seconds) for seconds in (None, 0.2, 0.1))
REFUSED = Verdict(False, "not proven: it sends too much", None)


@pytest.mark.parametrize(
    ("verdicts", "taken"),
    [
        ((PROVEN, PROVEN), 0),
        ((REFUSED, PROVEN, PROVEN), 1),
        ((TIMED, FASTER), 1),
        ((REFUSED, TIMED, FASTER), 2),
        ((TIMED, PROVEN), 0),
        ((REFUSED, REFUSED), None),
        ((), None),
    ],
)
def test_the_best_that_is_accepted_is_taken_by_the_compilers_time_where_it_has_one(verdicts, taken):
    assert pick(verdicts) == taken


def write_proof(path: Path, **told: object) -> Path:
    proof = {"ok": True, "failures": [], "hbm_bytes_per_device": 3 * 2**30, "compiler_step_seconds": None, **told}
    path.write_text(json.dumps(proof), encoding="utf-8")
    return path


def test_a_verdict_says_what_the_proof_says(tmp_path):
    path = tmp_path / "proof.json"
    assert verdict_of(write_proof(path), 0, "") == Verdict(True, "proven, 3.00 GiB per device", None)
    timed = verdict_of(write_proof(path, compiler_step_seconds=0.25), 0, "")
    assert (timed.ok, timed.step_seconds) == (True, 0.25)
    assert "250 ms" in timed.text
    failed = verdict_of(write_proof(path, ok=False, failures=["too big", "too slow"]), 1, "")
    assert failed == Verdict(False, "not proven: too big; too slow", None)


def test_a_compiler_that_could_not_be_asked_ends_the_command(tmp_path):
    with pytest.raises(Failure, match="install moec"):
        verdict_of(tmp_path / "proof.json", 2, "install moec[tpu]\n")
    with pytest.raises(Failure, match="status 143"):
        verdict_of(tmp_path / "proof.json", 143, "")


@pytest.fixture
def run():
    loaded, _ = load_text("spec.moe", SPEC)
    assert loaded is not None
    return resolve(read(loaded)[0])[0].runs[0]


def test_the_candidates_are_those_of_the_plan_in_their_order(run):
    plan, _ = plan_run(run)
    assert plan is not None
    assert plan.choices is not None
    candidates = best_plans(run, plan, 3)
    assert [dict(one.mesh.axes) for one in candidates] == [dict(one.axes) for one in plan.choices.best]
    assert [one.step_time.seconds for one in candidates] == [one.seconds for one in plan.choices.best]


def judging(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> list[Plan]:
    """Lets `verdicts` be what the compiler says; the list gets what it was asked about."""
    asked: list[Plan] = []

    def prove(candidates: Sequence[Plan]) -> tuple[Verdict, ...]:
        asked.extend(candidates)
        return verdicts

    monkeypatch.setattr(prove_top, "prove", prove)
    return asked


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.moe"
    path.write_text(SPEC, encoding="utf-8")
    return path


def test_the_plan_that_is_printed_is_the_one_that_was_accepted(moec, spec, monkeypatch):
    asked = judging(monkeypatch, REFUSED, PROVEN)
    called = moec("plan", str(spec), "--run", "open", "--prove-top", "2", "--format", "json")
    assert called.status == 0
    plan = json.loads(called.out)["open"]
    assert plan["mesh"]["axes"] == dict(asked[1].mesh.axes)
    assert [choice["proof"] for choice in plan["choices"]["best"]] == ["proven", "not proven: it sends too much", None]
    assert "not proven: it sends too much" in called.err


def test_where_none_is_accepted_the_command_says_so_and_fails(moec, spec, monkeypatch):
    judging(monkeypatch, REFUSED, REFUSED)
    called = moec("plan", str(spec), "--run", "open", "--prove-top", "2")
    assert called.status == 1
    assert "accepts none of the best 2" in called.err


def test_a_run_with_nothing_open_is_planned_without_a_proof(moec, spec, monkeypatch):
    asked = judging(monkeypatch, REFUSED)
    called = moec("plan", str(spec), "--run", "closed", "--prove-top", "1")
    assert called.status == 0
    assert "nothing was left to choose" in called.err
    assert asked == []


@pytest.mark.parametrize("number", ["0", "6", "two"])
def test_how_many_is_from_one_to_five(moec, spec, number):
    assert moec("plan", str(spec), "--prove-top", number).status == 2


def test_standard_input_cannot_be_read_twice(moec):
    assert moec("plan", "-", "--prove-top", "1", stdin=SPEC.encode()).status == 2
