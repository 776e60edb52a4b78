"""Caches of keys and values whose shapes nobody has to know: each takes them from the first keys that come."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax

from moec.runtime.attention import KeyValues
from moec.runtime.batch import Batch


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class CacheRoom:
    """Stands for the empty caches of all layers: give it as `caches` with a prompt and the model gives back real ones.

    `tokens` is how many tokens each cache will have room for. The compiler knows how many layers there are and how wide
    their heads; the runtime learns it here, while the prompt is traced.
    """

    tokens: int = field(metadata={"static": True})

    def __getitem__(self, layers: int | slice) -> CacheRoom:
        """The empty cache of one layer, or of some."""
        return self

    def extended(self, k_BSGH: jax.Array, v_BSGH: jax.Array, batch: Batch) -> KeyValues:
        """A cache that begins with these keys and values."""
        sequences, _, n_kv_heads, d_head = k_BSGH.shape
        empty = KeyValues.empty(sequences, self.tokens, n_kv_heads, d_head, k_BSGH.dtype)
        return empty.extended(k_BSGH, v_BSGH, batch)
