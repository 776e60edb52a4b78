"""What is offered where, and in which order."""

from __future__ import annotations

import pytest
from desk import BASE, CURSOR, Desk
from lsprotocol import types

from moec.lsp.completion import complete
from moec.lsp.signature import signature_help
from moec.spec.functions import FUNCTIONS
from moec.spec.hardware.catalogue import HARDWARE_NAMES
from moec.spec.loader import load_text


def offered(desk: Desk, text: str, name: str = "a.moe") -> dict[str, types.CompletionItem]:
    """The offers at `‸`, in the order in which an editor lists them."""
    view = desk.view(text, name)
    items = complete(view, desk.position, with_places=False).items
    return {item.label: item for item in sorted(items, key=lambda item: (item.sort_text or "", item.label))}


def inserted(item: types.CompletionItem) -> str:
    assert isinstance(item.text_edit, types.TextEdit)
    return item.text_edit.new_text


def test_missing_fields_come_before_all_others_and_written_ones_are_not_offered(desk: Desk) -> None:
    text = "edition = 2026\nmodel dense {\n  n_layers = 2\n  ‸\n}\n"
    labels = list(offered(desk, text))
    assert labels[:3] == ["d_model", "seq_len", "vocab_size"]
    assert labels[3] == "attention"
    assert "n_layers" not in labels
    assert "tie_embeddings" in labels


def test_what_a_block_inherits_is_not_missing(desk: Desk) -> None:
    text = BASE + "model deep extends dense {\n  ‸\n}\n"
    items = offered(desk, text)
    assert "n_layers" in items
    assert "missing" not in {item.detail for item in items.values()}


def test_of_fields_that_exclude_one_another_only_the_written_one_is_left(desk: Desk) -> None:
    labels = offered(desk, BASE.replace("budget small { steps = 4 }", "budget small {\n  steps = 4\n  ‸\n}"))
    assert not labels.keys() & {"tokens", "hours", "train_flops", "law", "count"}


def test_a_field_that_has_no_effect_is_not_offered(desk: Desk) -> None:
    with_lion = BASE.replace("batch { tokens = 256 }", "batch { tokens = 256 }\n  optimizer { kind = lion, ‸ }")
    assert not offered(desk, with_lion).keys() & {"eps", "decay_steps"}
    assert "b1" in offered(desk, with_lion)


@pytest.mark.parametrize(
    ("before", "wanted", "unwanted"),
    [
        ("activation = ‸swiglu", ["swiglu", "geglu", "gelu", "relu2", "heads"], ["d_model", "sqrt", "dense"]),
        ("hardware = ‸cpu", [*HARDWARE_NAMES], ["laptop"]),
        ("model = ‸dense", ["dense"], ["laptop", "heads", "sqrt"]),
        ("mesh = ‸laptop", ["laptop"], ["dense"]),
        ("data = ‸auto", ["auto", "fsdp"], []),
        ("d_ff = ‸4", ["heads", "d_model", *FUNCTIONS], ["plan"]),
        ("4 * ‸d_model", ["heads", "d_model"], ["swiglu"]),
        ("assert ‸plan", ["plan", "hardware", "heads"], []),
        ("plan.‸params", ["params", "memory", "steps"], ["heads", "plan"]),
        ("plan.params.‸total", ["total", "active", "embedding"], ["params"]),
    ],
)
def test_a_value_is_offered_what_its_field_takes(
    desk: Desk, before: str, wanted: list[str], unwanted: list[str]
) -> None:
    plain = before.replace(CURSOR, "")
    labels = offered(desk, BASE.replace(plain, before, 1)).keys()
    assert [label for label in wanted if label not in labels] == []
    assert [label for label in unwanted if label in labels] == []


def test_a_law_is_offered_with_its_source(desk: Desk) -> None:
    items = offered(desk, BASE.replace("steps = 4", "law = ‸"))
    assert list(items)[:3] == ["abnar", "besiroglu", "chinchilla"]
    page = items["chinchilla"].documentation
    assert isinstance(page, types.MarkupContent)
    assert "2203.15556" in page.value


def test_behind_the_name_of_a_block_come_its_fields(desk: Desk) -> None:
    labels = offered(desk, BASE + "let width = dense.‸\n")
    assert {"d_model", "attention", "ffn"} <= labels.keys()
    assert "n_heads" in offered(desk, BASE + "let n = dense.attention.‸\n")


def test_blocks_of_used_files_are_offered_with_and_behind_their_alias(desk: Desk) -> None:
    (desk.folder / "base.moe").write_text(BASE, encoding="utf-8")
    head = 'edition = 2026\nuse "base.moe" as base\n'
    assert list(offered(desk, head + "model big extends ‸ {}\n")) == ["base.dense"]
    assert list(offered(desk, head + "run r { model = base.‸ }\n")) == ["dense"]
    assert {"dense", "laptop", "heads"} <= offered(desk, head + "let n = base.‸\n").keys()


def test_a_model_is_not_offered_itself_to_extend(desk: Desk) -> None:
    assert list(offered(desk, BASE + "model big extends ‸ {}\n")) == ["dense"]


def test_the_path_of_a_used_file_is_offered(desk: Desk) -> None:
    (desk.folder / "parts").mkdir()
    (desk.folder / "base.moe").touch()
    (desk.folder / "parts" / "mesh.moe").touch()
    assert list(offered(desk, 'edition = 2026\nuse "‸"\n')) == ["base.moe", "parts/"]
    assert list(offered(desk, 'edition = 2026\nuse "parts/‸"\n')) == ["parts/mesh.moe"]


def test_nothing_is_offered_in_a_comment_or_in_a_text(desk: Desk) -> None:
    assert offered(desk, "edition = 2026\n# mod‸\n") == {}
    assert offered(desk, BASE.replace('"small"', '"sm‸')) == {}


def test_after_the_name_of_a_block_extends_can_follow(desk: Desk) -> None:
    assert list(offered(desk, BASE + "model big ‸")) == ["extends"]


def test_each_block_is_offered_with_what_it_must_have(desk: Desk) -> None:
    text = "edition = 2026\n"
    for kind in ("model", "mesh", "budget", "run"):
        block = inserted(offered(desk, text + "‸")[kind]).replace("name", f"my_{kind}", 1)
        named = {"dense": "my_model", "laptop": "my_mesh", "small": "my_budget"}
        for example, name in named.items():
            block = block.replace(f"= {example}", f"= {name}")
        text += block + "\n"
    _, told = load_text("a.moe", text)
    assert told == ()
    view = desk.view(text)
    assert view.checked is not None
    assert not {one.code for one in view.checked.diagnostics if one.code.startswith("MOE20")}


def test_an_editor_with_snippets_gets_places_to_type_in(desk: Desk) -> None:
    view = desk.view("edition = 2026\nmodel m {\n  ffn { ‸ }\n}\n")
    items = {item.label: item for item in complete(view, desk.position, with_places=True).items}
    assert inserted(items["activation"]) == "activation = ${1|swiglu,geglu,gelu,relu2|}"
    assert inserted(items["d_ff"]).startswith("d_ff = ${1:")
    assert items["activation"].insert_text_format == types.InsertTextFormat.Snippet


def test_the_name_that_is_typed_is_replaced(desk: Desk) -> None:
    view = desk.view(BASE.replace("activation = swiglu", "activation = swi‸"))
    (item,) = (item for item in complete(view, desk.position, with_places=False).items if item.label == "swiglu")
    assert isinstance(item.text_edit, types.TextEdit)
    start = types.Position(desk.position.line, desk.position.character - 3)
    assert item.text_edit.range == types.Range(start, desk.position)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("‸", ["edition", "model"]),
        ("edition: 2026\nmodel:\n  dense:\n    ‸", ["n_layers", "d_model"]),
        ("edition: 2026\nmodel:\n  dense:\n    attention:\n      n_‸", ["n_heads"]),
        ("edition: 2026\nmodel:\n  dense:\n    ffn:\n      activation: s‸", ["swiglu"]),
        ("edition: 2026\nmodel:\n  a:\n    d_model: 4\n  b:\n    extends: ‸", ["a"]),
        ("edition: 2026\nmesh:\n  m:\n    hardware: ‸", ["cpu", "h100"]),
        ("edition: 2026\nmodel:\n  dense:\n    d_model: 4\nrun:\n  r:\n    model: ‸", ["dense"]),
    ],
)
def test_yaml_is_offered_the_same(desk: Desk, text: str, wanted: list[str]) -> None:
    labels = offered(desk, text, "a.moe.yaml").keys()
    assert [label for label in wanted if label not in labels] == []


def test_a_yaml_block_is_inserted_as_yaml(desk: Desk) -> None:
    item = offered(desk, "edition: 2026\nmodel:\n  dense:\n    ‸", "a.moe.yaml")["attention"]
    assert inserted(item) == "attention:\n  n_heads: 32"


def test_a_call_shows_its_usage_and_the_argument_that_is_next(desk: Desk) -> None:
    view = desk.view("edition = 2026\nlet a = round_up(5 + max(1, 2), ‸\n")
    answer = signature_help(view, desk.position)
    assert answer is not None
    assert answer.signatures[0].label == "round_up(x, to)"
    assert answer.active_parameter == 1


def test_many_arguments_stay_at_the_last_parameter(desk: Desk) -> None:
    view = desk.view("edition = 2026\nlet a = min(5, 6, 7, 8, ‸)\n")
    answer = signature_help(view, desk.position)
    assert answer is not None
    assert answer.active_parameter == 2
    assert signature_help(desk.view("edition = 2026\nlet a = (5‸)\n"), desk.position) is None
