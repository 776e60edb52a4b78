"""One thing that could be typed, and how the editor is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types


@dataclass(frozen=True, slots=True)
class Offer:
    """`text` is what is inserted, the label itself where it is empty; a lower `rank` is offered first."""

    label: str
    kind: types.CompletionItemKind
    text: str = ""
    rank: int = 5
    detail: str = ""
    doc: str = ""


def item_of(offer: Offer, replaced: types.Range, with_places: bool) -> types.CompletionItem:
    """`offer` as the editor lists it, in place of what stands at `replaced`."""
    form = types.InsertTextFormat.Snippet if with_places and offer.text else types.InsertTextFormat.PlainText
    return types.CompletionItem(
        label=offer.label,
        kind=offer.kind,
        detail=offer.detail or None,
        documentation=types.MarkupContent(types.MarkupKind.Markdown, offer.doc) if offer.doc else None,
        sort_text=f"{offer.rank}",
        filter_text=offer.label,
        insert_text_format=form,
        text_edit=types.TextEdit(replaced, offer.text or offer.label),
    )
