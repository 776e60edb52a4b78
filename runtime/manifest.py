"""What a checkpoint says of itself: where the run stood, and the checksum of every array, under one seal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import jax

from moec.runtime.checksums import checksums


class DamagedError(Exception):
    """A checkpoint is not what was saved; the message says what is wrong with it, without its place."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands after `step`: with the seed this is also its random state and its place in the data.

    `seconds` is wall-clock time spent in training steps since the run began, over all its resumptions. `corpus` is the
    fingerprint of the text (moec.runtime.data.text.CorpusFacts).
    """

    identity: str
    step: int
    seed: int
    seconds: float
    corpus: str


@dataclass(frozen=True, slots=True)
class ArrayRecord:
    """One array as it was saved."""

    shape: tuple[int, ...]
    dtype: str
    checksum: str

    def describe(self) -> str:
        """Dtype and shape in one word."""
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint's position and its arrays by name."""

    position: Position
    arrays: Mapping[str, ArrayRecord]

    def sealed(self) -> dict[str, object]:
        """The manifest as JSON has it, with a hash of itself."""
        content = _content(self)
        return {**content, "seal": _seal(content)}


def manifest_of(position: Position, arrays: Mapping[str, jax.Array]) -> Manifest:
    """The manifest of these arrays, whose checksums are taken on their devices."""
    sums = checksums(arrays)
    return Manifest(
        position, {name: ArrayRecord(array.shape, str(array.dtype), sums[name]) for name, array in arrays.items()}
    )


def manifest_from(found: object) -> Manifest:
    """The manifest that `sealed` gave. Errors: DamagedError where it is not, or no longer, one."""
    if not isinstance(found, dict) or "seal" not in found:
        raise DamagedError("its manifest has no seal")
    content = {key: value for key, value in found.items() if key != "seal"}
    if _seal(content) != found["seal"]:
        raise DamagedError("its manifest does not match its seal")
    arrays = {
        name: ArrayRecord(tuple(record["shape"]), record["dtype"], record["checksum"])
        for name, record in content["arrays"].items()
    }
    return Manifest(Position(**content["position"]), arrays)


def changed_arrays(manifest: Manifest, arrays: Mapping[str, jax.Array]) -> tuple[str, ...]:
    """The names of the arrays that are not, bit by bit, what the manifest says."""
    sums = checksums(arrays)
    return tuple(name for name, found in sums.items() if found != manifest.arrays[name].checksum)


def _content(manifest: Manifest) -> dict[str, object]:
    arrays = {
        name: {"shape": list(record.shape), "dtype": record.dtype, "checksum": record.checksum}
        for name, record in manifest.arrays.items()
    }
    return {"position": asdict(manifest.position), "arrays": arrays}


def _seal(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
