"""Which documents are held out: decided by what a document says, not by where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from moec.runtime.data.errors import DataError


def document_hashes(documents: Iterable[str]) -> np.ndarray:
    """A 64-bit hash of each document's text. Shapes: [documents], uint64."""
    return np.fromiter((_hash(document) for document in documents), np.uint64)


def held_out_mask(hashes: np.ndarray, split: float) -> np.ndarray:
    """Which documents are held out: those whose hash lies in the lowest `split` of all hashes.

    Equal texts fall on the same side, and neither the order of the documents nor a seed changes the choice. Where none
    would be held out, the lowest hash is; where all would be, the highest is not: few documents can be split too.
    Shapes: [documents] -> [documents], bool.
    Errors: DataError if the documents are fewer than two different ones and `split` is not 0.
    """
    if split == 0:
        return np.zeros(hashes.shape, bool)
    if np.unique(hashes).size < 2:
        raise DataError(
            f"A held-out split of {split:g} needs at least 2 different documents and the source has "
            f"{np.unique(hashes).size}. Give more files, or one record per document as JSON Lines, or set split = 0."
        )
    held_out = hashes.astype(np.float64) < split * 2.0**64
    if not held_out.any():
        return hashes == hashes.min()
    if held_out.all():
        return hashes != hashes.max()
    return held_out


def _hash(document: str) -> int:
    return int.from_bytes(hashlib.blake2b(document.encode("utf-8"), digest_size=8).digest(), "big")
