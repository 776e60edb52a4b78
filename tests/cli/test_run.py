"""`moec run`: which runs it trains, with what, and what it makes of how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.cli import program, study


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The titles of the runs of each study that would have been written."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(study, "write_study", lambda spec, runs, out: calls.append(tuple(title for title, _ in runs)))
    return calls


def test_a_study_trains_its_runs_in_order_and_compares_them(moec, tiny, executed, compared) -> None:
    assert moec("run", "tiny.moe").status == 0
    assert [path for path, _ in executed] == [
        Path("runs/tiny/baseline/program.py"),
        Path("runs/tiny/with_moe/program.py"),
    ]
    assert {arguments for _, arguments in executed} == {("train", "--resume", "auto")}
    assert compared == [("baseline", "with_moe")]


def test_one_run_is_trained_alone(moec, tiny, executed, compared) -> None:
    assert moec("run", "tiny.moe", "--run", "with_moe", "--steps", "3", "--resume", "never").status == 0
    assert executed == [(Path("runs/tiny/with_moe/program.py"), ("train", "--resume", "never", "--steps", "3"))]
    assert compared == []


def test_without_a_study_all_runs_are_trained_and_it_is_said(moec, tiny, executed, compared) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").partition("study")[0], encoding="utf-8")
    called = moec("run", "tiny.moe")
    assert "no study in this spec, so all its runs: baseline, then with_moe" in called.out
    assert len(executed) == 2
    assert compared == []


def test_another_folder_can_be_named(moec, tiny, executed, compared) -> None:
    moec("run", "tiny.moe", "-o", "elsewhere")
    assert executed[0][0] == Path("elsewhere/baseline/program.py")
    assert Path("elsewhere/baseline/resolved.moe").exists()


def test_a_field_set_on_the_command_line_reaches_the_program(moec, tiny, executed, compared) -> None:
    moec("run", "tiny.moe", "--set", "run.batch.tokens=512", "--set", "small.steps=9")
    for run in ("baseline", "with_moe"):
        resolved = Path("runs/tiny") / run / "resolved.moe"
        text = resolved.read_text(encoding="utf-8")
        assert "512" in text
        assert "steps = 9" in " ".join(text.split())


def test_seeds_repeat_every_run(moec, tiny, executed, compared) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").replace("match = tokens", "match = tokens, seeds = [3, 4]"))
    assert moec("run", "tiny.moe").status == 0
    assert compared == [("baseline, seed 3", "baseline, seed 4", "with_moe, seed 3", "with_moe, seed 4")]
    assert "seed = 4" in Path("runs/tiny/with_moe/seed-4/resolved.moe").read_text(encoding="utf-8").replace("  ", "")


def test_a_run_that_fails_ends_the_study_with_its_status(moec, tiny, compared, monkeypatch) -> None:
    monkeypatch.setattr(program, "execute", lambda path, arguments: 130)
    assert moec("run", "tiny.moe").status == 130
    assert compared == []


def test_a_run_without_data_is_refused_before_anything_is_trained(moec, tiny, executed, compared) -> None:
    text = tiny.read_text(encoding="utf-8").replace(", data = code", "").replace("data code {", "data unused_code {")
    tiny.write_text("\n".join(line for line in text.splitlines() if "unused_code" not in line), encoding="utf-8")
    called = moec("run", "tiny.moe")
    assert called.status == 1
    assert "has no data" in called.err
    assert executed == []


def test_a_spec_with_mistakes_trains_nothing(moec, tiny, executed, compared) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").replace("n_heads = 2", "n_heads = 3"), encoding="utf-8")
    assert moec("run", "tiny.moe").status == 1
    assert executed == []
    assert not Path("runs").exists()


@pytest.mark.parametrize("steps", ["0", "-1", "many", "1.5"])
def test_steps_are_a_whole_number_above_nothing(moec, tiny, executed, steps: str) -> None:
    assert moec("run", "tiny.moe", f"--steps={steps}").status == 2


def test_the_same_spec_compiles_to_the_same_files(moec, tiny, executed, compared) -> None:
    moec("run", "tiny.moe", "--run", "baseline")
    called = moec("run", "tiny.moe", "--run", "baseline")
    assert called.out.count("same ") == 4
    assert "wrote" not in called.out


def test_a_program_that_someone_changed_is_kept(moec, tiny, executed, compared) -> None:
    moec("run", "tiny.moe", "--run", "baseline")
    path = Path("runs/tiny/baseline/program.py")
    path.write_text("mine", encoding="utf-8")
    called = moec("run", "tiny.moe", "--run", "baseline")
    assert "replaced runs/tiny/baseline/program.py (the earlier one is program.earlier.py)" in called.out
    assert path.with_name("program.earlier.py").read_text(encoding="utf-8") == "mine"
    assert path.read_text(encoding="utf-8") != "mine"


def test_a_warning_is_told_once(moec, tiny, executed, compared) -> None:
    text = tiny.read_text(encoding="utf-8").replace("seq_len    = 64", "seq_len    = 1k")
    tiny.write_text(
        text.replace("tokens = 256", "tokens = 2000").replace("match = tokens", "match = tokens, seeds = [1, 2]")
    )
    called = moec("run", "tiny.moe", "--set", "run.optimizer.peak_lr=1e-3")
    assert called.status == 0
    assert called.err.count("`1k` is") == 1


@pytest.mark.slow
def test_a_study_is_trained_and_reported_for_real(moec, tiny) -> None:
    assert moec("run", "tiny.moe").status == 0
    report = Path("runs/tiny/report.md").read_text(encoding="utf-8")
    assert "with_moe is" in report
    assert "no sample" not in report
    assert Path("runs/tiny/loss.png").exists()
