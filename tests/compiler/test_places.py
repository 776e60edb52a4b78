"""Fields are found in the text that they were written in."""

from __future__ import annotations

from pathlib import Path

from runs import LAPTOP

from moec.compiler.places import NOWHERE, places_of_resolved, places_of_run

RESOLVED = Path(__file__).parents[1] / "golden/laptop/with_moe/resolved.moe"


def line_of(path: str) -> str:
    text = RESOLVED.read_text()
    return text.split("\n")[places_of_resolved(text).of(path).position.line - 1].strip()


def test_fields_of_blocks_and_of_the_run_are_found():
    assert line_of("model.experts.capacity_factor") == "capacity_factor  = 1.25"
    assert line_of("mesh.axes") == "axes {"
    assert line_of("batch.tokens") == "tokens = 4096"
    assert line_of("seed") == "seed   = 0"
    assert line_of("data.seed") == "seed       = 0"


def test_a_block_wins_over_the_reference_to_it():
    assert line_of("model") == "model sparse {"
    assert line_of("budget") == "budget small {"


def test_a_field_that_is_not_written_is_at_its_block():
    assert line_of("budget.law") == "budget small {"
    assert line_of("optimizer.decay_steps") == "optimizer {"


def test_a_place_can_be_cited_in_a_sentence():
    places = places_of_resolved("budget b {\n  tokens = 1\n}\n")
    assert places.cited("All of it.", "budget.tokens") == "All of it (resolved.moe:2)."
    assert places.mention("budget.steps") == " (resolved.moe:1)"
    assert NOWHERE.cited("All of it.", "budget.tokens") == "All of it."
    assert str(places.of("budget.tokens")) == "resolved.moe:2:3"


def test_spans_of_other_files_are_left_out():
    assert places_of_run(LAPTOP, {}).by_path == {}


def test_places_of_a_run_are_those_of_the_user(plan_text):
    text = "edition = 2026\nmodel m { vocab_size = 256, seq_len = 16, n_layers = 1, d_model = 8, "
    text += "attention { n_heads = 1 }, ffn { d_ff = 8 } }\nmesh x { hardware = cpu, devices = 1 }\n"
    text += "budget b { steps = 1 }\nrun r { model = m, mesh = x, budget = b, batch { tokens = 16 } }\n"
    from moec.spec.source import Source

    run = plan_text(text)["r"].run
    places = places_of_run(run, {"spec.moe": Source("spec.moe", text)})
    assert places.of("model.d_model").position.line == 2
    assert places.of("batch.tokens").file == "spec.moe"
