"""Numbers in messages: how they are written, and which ones nearby would do."""

from __future__ import annotations

from collections.abc import Mapping

GIB = 2**30


def multiples_near(value: int, of: int) -> str:
    """The multiples of `of` on either side of `value`: `4096 or 4128`."""
    below = value // of * of
    return f"{below} or {below + of}" if below else str(of)


def divisors_near(value: int, of: int) -> str:
    """The divisors of `of` on either side of `value`: `6 or 8`. `value` itself does not divide `of`."""
    below = max(n for n in range(1, min(value, of) + 1) if of % n == 0)
    above = next((n for n in range(value + 1, min(of, 16 * value) + 1) if of % n == 0), None)
    return str(below) if above is None else f"{below} or {above}"


def product(sizes: Mapping[str, int]) -> str:
    """Axes and their sizes as a product: `expert 16 x fsdp 16`; `1` where there are none."""
    return " x ".join(f"{name} {size}" for name, size in sizes.items()) or "1"


def gibibytes(count: int) -> str:
    """Bytes to two decimals: `79.65 GiB`."""
    return f"{count / GIB:.2f} GiB"


def shape(sizes: tuple[int, ...]) -> str:
    """`8x8x8`."""
    return "x".join(str(size) for size in sizes)


def rounded(value: float) -> str:
    """Three significant digits without an exponent for what people read every day: `1.7`, `19.8`, `1,234`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
