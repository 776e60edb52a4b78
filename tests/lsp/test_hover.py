"""What the mouse tells: type, unit, default, documentation, and what an expression is worth."""

from __future__ import annotations

import pytest
from desk import BASE, CURSOR, Desk, found
from lsprotocol import types

from moec.lsp.hover import hover


def told(desk: Desk, text: str, name: str = "a.moe") -> str:
    """The hover at `‸` in `text`, "" where there is none."""
    view = desk.view(text, name)
    answer = hover(view, desk.position)
    if answer is None:
        return ""
    assert isinstance(answer.contents, types.MarkupContent)
    return answer.contents.value


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("  n_‸layers", "", ["model.n_layers", "a whole number", "must be written", "`= 2`"]),
        ("d_‸ff = 4", "", ["model.ffn.d_ff", "`= 1536`"]),
        ("n_heads = he‸ads }", "", ["let heads = 12", "How many heads", "`= 12`"]),
        ("let he‸ads", "", ["let heads = 12", "`= 12`"]),
        ("32 ‸* heads", "", ["32 * heads", "`= 384`"]),
        ("= sw‸iglu", "", ["activation = swiglu", "gated"]),
        ("hardware = c‸pu", "", ["The CPU of this machine"]),
        ("mo‸del dense", "", ["**`model`**", "- `n_layers`:", "`attention { … }`"]),
        ("model de‸nse", "", ["model dense", "A dense decoder.", "parameters"]),
        ("model = de‸nse", "", ["model dense", "A dense decoder."]),
        ("plan.params.‸total", "", ["plan.params.total", "weights", "embedding + norm"]),
        ("< 1‸0M", "", ["`= 10000000`", "10.0 M"]),
        ("fs‸dp = 2", "", ["mesh.axes.fsdp", "with one device's part", "384"]),
        ("tokens = 2‸56 }", "", []),
    ],
)
def test_a_hover_says(desk: Desk, before: str, after: str, words: list[str]) -> None:
    plain = before.replace(CURSOR, "")
    assert BASE.count(plain + after) >= 1, plain
    text = told(desk, BASE.replace(plain, before, 1))
    assert [word for word in words if word not in text] == []
    assert bool(text) == bool(words)


def test_the_part_of_one_device_is_what_the_axes_leave_of_the_shape(desk: Desk) -> None:
    text = told(desk, BASE.replace("fsdp = 2", "fs‸dp = 2"))
    assert "- `Attention.w_q`: 384 x 12 x 32 as `[D/fsdp, N/model, H]` → **192 x 12 x 32**" in text


def test_a_suffix_is_worked_out_exactly(desk: Desk) -> None:
    assert "`= 4096`" in told(desk, "edition = 2026\nlet a = 4K‸i\n")
    assert "`= 68719476736 B` (64.0 GiB)" in told(desk, "edition = 2026\nlet a = 64G‸iB\n")


def test_a_function_says_how_it_is_called(desk: Desk) -> None:
    assert "round_up(x, to)" in told(desk, "edition = 2026\nlet a = rou‸nd_up(5, 4)\n")


def test_a_law_says_where_it_comes_from(desk: Desk) -> None:
    assert "2203.15556" in told(desk, BASE.replace("steps = 4", "law = chin‸chilla, count = active"))


def test_a_default_is_shown_where_a_name_leads_to_it(desk: Desk) -> None:
    text = told(desk, BASE.replace("attention { n_heads = heads }", "attention { n_heads = heads, d_head = d_mo‸del }"))
    assert "model.d_model" in text
    assert "`= 384`" in text


def test_a_path_says_which_file_it_leads_to(desk: Desk) -> None:
    (desk.folder / "base.moe").write_text(BASE, encoding="utf-8")
    assert "base.moe`" in told(desk, 'edition = 2026\nuse "ba‸se.moe" as base\n')


def test_the_range_is_that_of_the_thing(desk: Desk) -> None:
    view = desk.view(BASE.replace("4 * d_model", "4 * d_mo‸del"))
    answer = hover(view, desk.position)
    assert answer is not None
    assert answer.range is not None
    assert found(view, answer.range) == "d_model"


def test_yaml_is_told_of_alike(desk: Desk) -> None:
    text = "edition: 2026\nmodel:\n  dense:\n    n_lay‸ers: 2\n"
    assert "model.n_layers" in told(desk, text, "a.moe.yaml")


def test_a_broken_text_still_has_a_hover(desk: Desk) -> None:
    assert "`= 2`" in told(
        desk, BASE.replace("n_layers   = 2", "n_lay‸ers = 2").replace("seq_len    = 64", "seq_len =")
    )


def test_nothing_is_said_of_an_empty_place(desk: Desk) -> None:
    assert told(desk, "edition = 2026\n\n‸\n") == ""


def test_a_field_that_must_be_written_is_not_said_to_have_a_default(desk: Desk) -> None:
    text = BASE.replace("  ffn ", f"  experts {{ n_experts = 8, balance_{CURSOR}loss = 0.01 }}\n  ffn ")
    answer = told(desk, text)
    assert "must be written, unless `bias_update_rate` is" in answer
    assert "default:" not in answer
