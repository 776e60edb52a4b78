"""Which documents are held out."""

from __future__ import annotations

import numpy as np
import pytest

from moec.runtime.data.errors import DataError
from moec.runtime.data.split import document_hashes, held_out_mask

DOCUMENTS = [f"document {number}" for number in range(2000)]


def held_out(documents: list[str], split: float) -> list[str]:
    mask = held_out_mask(document_hashes(documents), split)
    return [document for document, out in zip(documents, mask, strict=True) if out]


def test_about_the_fraction_is_held_out() -> None:
    assert 150 <= len(held_out(DOCUMENTS, 0.1)) <= 250  # 200, standard deviation 13.4


def test_the_choice_does_not_depend_on_order_or_on_other_documents() -> None:
    chosen = set(held_out(DOCUMENTS, 0.1))
    assert set(held_out(DOCUMENTS[::-1], 0.1)) == chosen
    assert set(held_out(DOCUMENTS[:1000], 0.1)) == chosen & set(DOCUMENTS[:1000])


def test_a_larger_split_holds_out_the_same_documents_and_more() -> None:
    assert set(held_out(DOCUMENTS, 0.1)) < set(held_out(DOCUMENTS, 0.2))


def test_equal_documents_fall_on_the_same_side() -> None:
    mask = held_out_mask(document_hashes(DOCUMENTS + DOCUMENTS), 0.3)
    np.testing.assert_array_equal(mask[:2000], mask[2000:])


@pytest.mark.parametrize("split", [1e-9, 0.5, 1 - 1e-9])
def test_two_documents_are_enough_to_have_one_on_each_side(split: float) -> None:
    assert len(held_out(["a", "b"], split)) == 1
    assert held_out(["a", "b"], split) == held_out(["b", "a"], split)


def test_a_split_of_zero_holds_nothing_out() -> None:
    assert held_out(["a"], 0.0) == []


@pytest.mark.parametrize("documents", [["a"], ["a", "a"]])
def test_fewer_than_two_different_documents_cannot_be_split(documents: list[str]) -> None:
    with pytest.raises(DataError, match=r"split of 0\.05 needs at least 2 different documents and the source has 1"):
        held_out(documents, 0.05)
