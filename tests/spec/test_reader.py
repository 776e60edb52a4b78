"""Reading a spec: names are held against the table, `extends` merges, and each slip is told once."""

from __future__ import annotations

from moec.spec.blocks import Spec
from moec.spec.diagnostics import Diagnostic
from moec.spec.format_value import format_expression
from moec.spec.loader import load_text
from moec.spec.reader import read

EDITION = "edition = 2026\n"


def read_text(text: str, **others: str) -> tuple[Spec, tuple[Diagnostic, ...]]:
    files = {f"{name}.moe": content for name, content in others.items()}
    loaded, told = load_text("main.moe", EDITION + text, others=files)
    assert loaded is not None
    assert told == ()
    return read(loaded)


def spec_of(text: str, **others: str) -> Spec:
    spec, told = read_text(text, **others)
    assert [one.message for one in told if one.severity == "error"] == []
    return spec


def codes(text: str, **others: str) -> list[str]:
    return [told.code for told in read_text(text, **others)[1]]


def fields(spec: Spec, kind: str, name: str, *inner: str) -> dict[str, str]:
    """The fields of a block of the main file, as they are written."""
    block = spec.main.blocks[kind, name]
    for step in inner:
        block = block.blocks[step]
    return {field.name: format_expression(field.value) for field in block.fields.values()}


def test_a_block_that_extends_another_has_the_last_word() -> None:
    spec = spec_of(
        """
        model small { d_model = 64, n_layers = 2, attention { n_heads = 4, n_kv_heads = 2 }
          ffn { d_ff = 4 * d_model } }
        model wide extends small { d_model = 128, attention { n_heads = 8 } }
        """
    )
    assert fields(spec, "model", "wide") == {"d_model": "128", "n_layers": "2"}
    assert fields(spec, "model", "wide", "attention") == {"n_heads": "8", "n_kv_heads": "2"}
    assert fields(spec, "model", "wide", "ffn") == {"d_ff": "4 * d_model"}
    assert fields(spec, "model", "small") == {"d_model": "64", "n_layers": "2"}
    assert spec.extended == {("model", "small")}


def test_inheritance_counts_the_blocks_between() -> None:
    spec = spec_of(
        """
        budget c extends b { count = active }
        budget b extends a { }
        budget a { law = chinchilla, count = total, tokens_per_param = 10 }
        """
    )
    found = spec.main.blocks["budget", "c"].fields
    assert {name: field.inherited for name, field in found.items()} == {"law": 2, "count": 0, "tokens_per_param": 2}


def test_of_fields_that_exclude_one_another_the_child_s_stays() -> None:
    spec = spec_of("budget a { tokens = 1M }\nbudget b extends a { steps = 10 }")
    assert fields(spec, "budget", "b") == {"steps": "10"}


def test_lists_replace_and_asserts_add_up() -> None:
    spec = spec_of(
        """
        run a { batch { tokens = 4Ki }, remat { policy = names, save = [ffn_out] }, assert 1 < 2 }
        run b extends a { remat { save = [attention_out] }, assert 2 < 3 : "so" }
        """
    )
    assert fields(spec, "run", "b", "remat")["save"] == "[attention_out]"
    assert [one.why for one in spec.main.blocks["run", "b"].asserts] == ["", "so"]


def test_blocks_of_used_files_are_reached_through_their_alias() -> None:
    spec = spec_of(
        'use "base.moe" as base\nbudget mine extends base.short { tokens = 2M }',
        base=EDITION + "let n = 3\nbudget short { tokens = n }\n",
    )
    assert fields(spec, "budget", "mine") == {"tokens": "2M"}
    assert spec.main.uses == {"base": "base.moe"}
    assert list(spec.scopes["base.moe"].lets) == ["n"]


def test_docs_belong_to_the_block_that_has_them() -> None:
    spec = spec_of("/// What.\nbudget a { tokens = 1M }\nbudget b extends a { }")
    assert spec.main.blocks["budget", "a"].doc == "What."
    assert spec.main.blocks["budget", "b"].doc == ""


def test_the_edition_must_be_there_and_known() -> None:
    loaded, _ = load_text("main.moe", "budget a { tokens = 1M }\n")
    assert loaded is not None
    (told,) = read(loaded)[1]
    assert told.code == "MOE2011"
    assert told.fixes[0].replacement.startswith("edition = 2026\n")
    assert codes("edition = 2026") == ["MOE2005"]


def test_a_slip_in_a_name_is_told_once_with_what_was_meant() -> None:
    _, (told,) = read_text("mesh a { hardware = cpu, devises = 1 }")
    assert told.code == "MOE2002"
    assert told.helps[0] == "did you mean `devices`?"
    assert told.fixes[0].replacement == "devices"
    assert codes("modle a { d_model = 64 }\nmodel b extends a { }") == ["MOE2001"]
    assert codes("model a { atention { n_heads = 4 } }") == ["MOE2003"]


def test_a_field_of_another_block_is_pointed_to() -> None:
    _, (told,) = read_text("model a { top_k = 2 }")
    assert told.helps[0] == "`top_k` is a field of `model.experts.top_k`"


def test_what_is_written_twice_is_told_with_both_places() -> None:
    _, (told,) = read_text("budget a { tokens = 1M, tokens = 2M }")
    assert told.code == "MOE2005"
    assert len(told.others) == 1
    assert codes("budget a { tokens = 1M }\nbudget a { tokens = 1M }") == ["MOE2006"]
    assert codes("let a = 1\nlet a = 2\nbudget b { tokens = a }") == ["MOE2006"]


def test_blocks_and_fields_are_not_mixed_up() -> None:
    assert codes("mesh a { axes = 3 }") == ["MOE2024"]
    assert codes("mesh a { devices { data = 3 } }") == ["MOE2024"]
    assert codes("heads = 3\nmodel a { d_model = heads }") == ["MOE2025"]


def test_extending_nothing_or_in_a_circle_is_told() -> None:
    assert codes("budget a extends b { tokens = 1M }") == ["MOE2008"]
    assert codes("mesh b { hardware = cpu }\nbudget a extends b { tokens = 1M }") == ["MOE2008"]
    assert codes("budget a extends a { tokens = 1M }") == ["MOE2009"]
    assert codes("budget a extends b { }\nbudget b extends c { }\nbudget c extends a { }") == ["MOE2009"]


def test_a_long_line_of_blocks_that_extend_one_another_is_read_fast() -> None:
    line = "\n".join(f"budget b{number} extends b{number + 1} {{ }}" for number in range(400))
    spec = spec_of(f"{line}\nbudget b400 {{ tokens = 1M }}")
    assert fields(spec, "budget", "b0") == {"tokens": "1M"}


def test_names_that_nothing_uses_are_doubts() -> None:
    text = 'use "base.moe" as base\nlet a = 1\nlet b = a\nmesh m { hardware = cpu, devices = 1 }\nrun r { seed = 1 }'
    _, told = read_text(text, base=EDITION)
    assert [one.code for one in told] == ["MOE2016", "MOE2015", "MOE2017"]
    assert {one.severity for one in told} == {"warning"}


def test_a_file_without_runs_is_a_library_and_may_hold_what_it_likes() -> None:
    assert codes("mesh m { hardware = cpu, devices = 1 }") == []


def test_a_study_cannot_assert() -> None:
    assert codes("study s { runs = [], match = tokens, assert 1 < 2 }") == ["MOE2027"]


def test_too_many_blocks_are_told_once() -> None:
    assert codes("\n".join(f"budget b{number} {{ tokens = 1M }}" for number in range(600))) == ["MOE2026"]


def test_a_thousand_slips_are_told_up_to_a_limit() -> None:
    found = codes("model a {\n" + "\n".join(f"  field_{number} = 1" for number in range(1000)) + "\n}")
    assert found.count("MOE2002") == 100
    assert "MOE1039" in found
    assert len(found) == 101


def test_a_thousand_doubts_do_not_hide_an_error() -> None:
    found = codes("\n".join(f"let a{number} = 1" for number in range(1000)) + "\nmesh m { hardware_ = cpu }")
    assert found.count("MOE2015") == 100
    assert "MOE2002" in found
