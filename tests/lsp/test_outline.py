"""Symbols, folds and growing selections."""

from __future__ import annotations

from desk import BASE, Desk, found

from moec.lsp.outline import folds, selections, symbols, workspace_symbols

FOLDED = """\
edition = 2026
use "a.moe" as a
use "b.moe" as b

# one
# two

model m {
  attention {
    n_heads = 2
  }
}
"""


def test_symbols_are_the_statements_with_what_is_inside(desk: Desk) -> None:
    view = desk.view(BASE)
    answer = symbols(view)
    assert [one.name for one in answer] == ["edition", "heads", "dense", "laptop", "small", "baseline"]
    model = answer[2]
    assert [one.name for one in model.children or ()] == [
        *("vocab_size", "seq_len", "n_layers", "d_model", "attention", "ffn"),
    ]
    assert found(view, model.selection_range) == "dense"
    assert found(view, model.range).startswith("model dense {")
    assert found(view, model.range).endswith("}")


def test_every_symbol_lies_in_its_parent_and_holds_its_name(desk: Desk) -> None:
    for name, text in (
        ("a.moe", BASE),
        ("b.moe.yaml", "edition: 2026\nmodel:\n  a:\n    ffn: {d_ff: 4}\n  b:\n    x: 1\n"),
    ):
        view = desk.view(text, name)
        waiting = [(view.lines.whole, one) for one in symbols(view)]
        while waiting:
            outer, one = waiting.pop()
            assert outer.start <= one.range.start <= one.selection_range.start
            assert one.selection_range.end <= one.range.end <= outer.end
            waiting += [(one.range, child) for child in one.children or ()]


def test_workspace_symbols_have_the_letters_of_the_query_in_order(desk: Desk) -> None:
    view = desk.view(BASE)
    assert [one.name for one in workspace_symbols(view, "bln")] == ["baseline"]
    assert [one.name for one in workspace_symbols(view, "")] == ["heads", "dense", "laptop", "small", "baseline"]
    assert workspace_symbols(view, "zzz") == []


def test_blocks_comments_and_uses_fold(desk: Desk) -> None:
    view = desk.view(FOLDED)
    assert [(one.start_line, one.end_line, one.kind) for one in folds(view)] == [
        (1, 2, "imports"),
        (4, 5, "comment"),
        (7, 10, None),
        (8, 9, None),
    ]


def test_yaml_blocks_fold_to_their_last_line(desk: Desk) -> None:
    view = desk.view("edition: 2026\nmodel:\n  a:\n    x: 1\n    ffn:\n      d_ff: 4\n", "a.moe.yaml")
    assert [(one.start_line, one.end_line) for one in folds(view)] == [(2, 5), (4, 5)]


def test_a_selection_grows_from_name_to_file(desk: Desk) -> None:
    view = desk.view(BASE.replace("d_ff = 4 * d_model", "d_ff = 4 * d_mo‸del"))
    (chosen,) = selections(view, [desk.position])
    texts = []
    step = chosen
    while step is not None:
        texts.append(found(view, step.range))
        step = step.parent
    assert texts[:4] == [
        "d_model",
        "4 * d_model",
        "d_ff = 4 * d_model",
        "ffn       { d_ff = 4 * d_model, activation = swiglu }",
    ]
    assert texts[4].startswith("model dense")
    assert texts[5] == BASE
