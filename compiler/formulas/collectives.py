"""Bytes and seconds of collectives over one mesh axis of `n` devices.

Source: ring algorithms, reference/jax-facts.md (all-gather and reduce-scatter take bytes/W, all-reduce twice that, an
all-to-all on a ring a quarter of an all-gather of the whole array).
"""

from __future__ import annotations

from math import ceil


def gathered_send_bytes(array_bytes: int, n: int) -> int:
    """Sent per device by an all-gather that ends with, or a reduce-scatter that starts from, `array_bytes`:
    (n-1)/n of it."""
    return ceil(array_bytes * (n - 1) / n)


def all_reduce_send_bytes(array_bytes: int, n: int) -> int:
    """Sent per device by an all-reduce of `array_bytes`: a reduce-scatter and an all-gather."""
    return 2 * gathered_send_bytes(array_bytes, n)


def all_to_all_send_bytes(local_bytes: int, n: int) -> int:
    """Sent per device by an all-to-all of `local_bytes`: all but the share that stays."""
    return ceil(local_bytes * (n - 1) / n)


def transfer_seconds(sent_bytes: int, bytes_per_second: float) -> float:
    """Time to send `sent_bytes` through a device's own bandwidth, without the latency."""
    return sent_bytes / bytes_per_second


def ring_all_to_all_seconds(sent_bytes: int, n: int, bytes_per_second: float) -> float:
    """An all-to-all on a ring: messages travel n/4 hops on average, against one hop per byte on a switch."""
    return sent_bytes / bytes_per_second * max(1.0, n / 4)


def latency_seconds(op: str, n: int, latency: float, *, ring: bool) -> float:
    """Until the last device of a group of `n` has the first byte: one message per neighbour on a ring (an all-reduce
    goes round twice, an all-to-all half way), one start where a switch stands between.

    Source: ring algorithms; a switch forwards in one hop, and the start of the operation is what counts.
    """
    if not ring:
        return latency
    rounds = {"all-reduce": 2.0, "all-to-all": 0.5}.get(op, 1.0)
    return rounds * (n - 1) * latency
