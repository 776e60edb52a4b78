"""The colours of both forms."""

from __future__ import annotations

from desk import BASE, Desk
from lsprotocol import types

from moec.lsp.tokens import MODIFIERS, TYPES, semantic_tokens
from moec.lsp.view import View


def coloured(view: View, within: types.Range | None = None) -> list[tuple[str, str]]:
    """Each coloured text with its type, and its modifiers behind a dot."""
    data, line, column, shown = semantic_tokens(view, within).data, 0, 0, []
    for at in range(0, len(data), 5):
        down, right, length, kind, modifiers = data[at : at + 5]
        line, column = line + down, right if down else column + right
        end = types.Position(line, column + length)
        start, stop = view.lines.offset(types.Position(line, column)), view.lines.offset(end)
        names = [name for index, name in enumerate(MODIFIERS) if modifiers >> index & 1]
        shown.append((view.text.source.text[start:stop], ".".join((TYPES[kind], *names))))
    return shown


def test_every_kind_of_word_has_its_colour(desk: Desk) -> None:
    colours = dict(coloured(desk.view(BASE + 'use "b.moe" as b\nmodel c extends dense { n_layers = min(4, 2) }\n')))
    assert colours["let"] == "keyword"
    assert colours["/// A dense decoder."] == "comment.documentation"
    assert colours["mesh"] == "property"  # the last one is a field of the run
    assert colours["attention"] == "type"
    assert colours["c"] == "class.declaration"
    assert colours["n_layers"] == "property"
    assert colours["swiglu"] == "enumMember"
    assert colours["auto"] == "enumMember"
    assert colours["12"] == "number"
    assert colours["10M"] == "number"
    assert colours['"small"'] == "string"
    assert colours["min"] == "function"
    assert colours["*"] == "operator"
    assert colours["b"] == "namespace.declaration"
    assert ("heads", "variable.declaration") in coloured(desk.view(BASE))


def test_columns_count_in_the_units_of_the_editor(desk: Desk) -> None:
    text = 'edition = 2026\nlet a = "😀😀", let b = 7\n'
    for encoding in (types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16):
        desk.encoding = encoding
        assert ("7", "number") in coloured(desk.view(text))


def test_a_range_has_the_colours_of_its_lines(desk: Desk) -> None:
    view = desk.view(BASE)
    within = types.Range(types.Position(3, 0), types.Position(4, 0))
    assert coloured(view, within) == [
        ("let", "keyword"),
        ("heads", "variable.declaration"),
        ("12", "number"),
    ]


def test_a_broken_text_keeps_its_colours(desk: Desk) -> None:
    whole = coloured(desk.view(BASE))
    broken = coloured(desk.view(BASE.replace("seq_len    = 64", "seq_len    = = 64 {")))
    assert set(whole) <= set(broken)


def test_yaml_has_colours_of_the_tree(desk: Desk) -> None:
    text = "edition: 2026\nlet: {n: 4}\nmodel:\n  a: {d_model: 2 * n, ffn: {activation: gelu}}\n  b: {d_model: 1}\n"
    colours = coloured(desk.view(text, "a.moe.yaml"))
    assert colours[:4] == [
        ("edition", "property"),
        ("2026", "number"),
        ("n", "variable.declaration"),
        ("4", "number"),
    ]
    assert [text for text, kind in colours if kind == "class.declaration"] == ["a", "b"]
    assert ("gelu", "enumMember") in colours
    assert [text for text, kind in colours if kind == "type"] == ["model", "ffn"]
