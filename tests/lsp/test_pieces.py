"""Pieces keep their trees and their addresses while the file around them changes."""

from __future__ import annotations

from desk import BASE
from hypothesis import given, settings
from hypothesis import strategies as st

from moec.lsp.pieces import MAX_PIECES, PieceStore
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.syntax import Block


def test_the_pieces_of_a_text_make_its_tree() -> None:
    source = Source("a.moe", BASE)
    file, _ = parse(source)
    pieced = PieceStore().update(source)
    assert pieced.file == file
    real = [pieced.real(one.span) for one in pieced.file.statements]
    assert real == [one.span for one in file.statements]


def test_comments_above_a_statement_belong_to_its_piece() -> None:
    pieced = PieceStore().update(Source("a.moe", BASE))
    (piece,) = (piece for piece in pieced.pieces if "model dense" in piece.text)
    assert piece.text.lstrip("\n").startswith("/// A dense decoder.\nmodel dense {")
    assert "".join(piece.text for piece in pieced.pieces) == BASE


def test_an_edit_parses_its_own_piece_and_no_other() -> None:
    store = PieceStore()
    before = store.update(Source("a.moe", BASE))
    after = store.update(Source("a.moe", BASE.replace("n_layers   = 2", "n_layers   = 200")))
    same = [one is two for one, two in zip(before.pieces, after.pieces, strict=True)]
    assert same.count(False) == 1
    run = after.file.statements[-1]
    assert run is before.file.statements[-1]
    assert after.real(run.span).start == before.real(run.span).start + 2


def test_equal_pieces_have_different_addresses() -> None:
    pieced = PieceStore().update(Source("a.moe", "let a = 1\n" * 3))
    spans = [one.span for one in pieced.file.statements]
    assert len({span.start for span in spans}) == 3
    assert [pieced.real(span).start for span in spans] == [0, 10, 20]


def test_a_block_whose_lines_are_not_indented_is_one_piece() -> None:
    text = "model a {\nn_layers = 2\nattention {\nn_heads = 2\n}\n}\nlet b = 1\n"
    pieced = PieceStore().update(Source("a.moe", text))
    assert len(pieced.pieces) == 2
    assert isinstance(pieced.file.statements[0], Block)
    assert pieced.diagnostics == ()


def test_a_text_of_very_many_statements_is_one_piece() -> None:
    pieced = PieceStore().update(Source("a.moe", "a=1\n" * (MAX_PIECES + 1)))
    assert len(pieced.pieces) == 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, len(BASE)), st.sampled_from(["x", "\n", "# ", "}", "{", "\r\n", "é"]))))
def test_every_place_has_an_address_that_leads_back(edits: list[tuple[int, str]]) -> None:
    text, store = BASE, PieceStore()
    for place, new in edits:
        text = text[:place] + new + text[place:]
        pieced = store.update(Source("a.moe", text))
        for offset in range(0, len(text) + 1, 7):
            assert pieced.offset(pieced.address(offset)) == offset
