"""Bytes that an array and an optimizer take on one device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Final

from moec.compiler.plan import ActivationPlan, DimSpec, TensorPlan

BYTES_PER_ELEMENT: Final[Mapping[str, int]] = {"float32": 4, "bfloat16": 2, "int32": 4}
"""Source: IEEE 754 binary32; bfloat16 is its upper half."""

FLOAT32_BYTES: Final = BYTES_PER_ELEMENT["float32"]


def local_shape(shape: tuple[int, ...], sharding: tuple[DimSpec, ...], axes: Mapping[str, int]) -> tuple[int, ...]:
    """The part of an array that one device holds. Rounding: up, as XLA pads."""
    pairs = zip(shape, sharding, strict=True)
    return tuple([-(-size // prod([axes[name] for name in names])) if names else size for size, names in pairs])


def local_size(shape: tuple[int, ...], sharding: tuple[DimSpec, ...], axes: Mapping[str, int]) -> int:
    """Elements of the part that one device holds. It is asked half a million times for 4,096 chips."""
    elements = 1
    for size, names in zip(shape, sharding, strict=True):
        parts = 1
        for name in names:
            parts *= axes[name]
        elements *= size if parts == 1 else -(-size // parts)
    return elements


def local_elements(tensor: TensorPlan, axes: Mapping[str, int]) -> int:
    """Elements of all copies of a weight on one device."""
    return local_size(tensor.shape, tensor.sharding, axes) * tensor.copies


def activation_bytes(activation: ActivationPlan, axes: Mapping[str, int]) -> int:
    """Bytes of one activation of one layer on one device."""
    return local_size(activation.shape, activation.sharding, axes) * BYTES_PER_ELEMENT[activation.dtype]


def stem(activation: ActivationPlan) -> str:
    """The name without its letters: what `remat.save` and `remat.offload` call it."""
    return activation.name.rpartition("_")[0]


def named(activations: Iterable[ActivationPlan], name: str) -> ActivationPlan:
    """The activation with this stem. Errors: StopIteration where there is none."""
    return next(activation for activation in activations if stem(activation) == name)


def bytes_by_name(activations: Iterable[ActivationPlan], axes: Mapping[str, int]) -> dict[str, int]:
    """Bytes of one of each activation on one device, by its stem."""
    return {stem(activation): activation_bytes(activation, axes) for activation in activations}


def factored_elements(shape: tuple[int, ...]) -> int:
    """State of Adafactor for one tensor: row and column sums of the two largest dims, one element each for a vector.

    Source: Shazeer and Stern, arXiv 1804.04235, section 3; the choice of dims is that of optax.adafactor.
    """
    if len(shape) < 2:
        return prod(shape)
    largest, second = sorted(range(len(shape)), key=lambda dim: shape[dim], reverse=True)[:2]
    rest = prod(size for dim, size in enumerate(shape) if dim not in (largest, second))
    return rest * (shape[largest] + shape[second])


def optimizer_elements(kind: str, tensor: TensorPlan, axes: Mapping[str, int]) -> int:
    """State elements of all copies of one weight on one device.

    Source: AdamW keeps two moments (arXiv 1711.05101), Lion one (arXiv 2302.06675), Muon one for matrices and AdamW's
    two for everything else (optax.contrib.muon), Adafactor factored second moments.
    """
    elements = local_elements(tensor, axes)
    if kind == "lion":
        return elements
    if kind == "adafactor":
        return factored_elements(local_shape(tensor.shape, tensor.sharding, axes)) * tensor.copies
    if kind == "muon" and is_orthogonalised(tensor):
        return elements
    return 2 * elements


def is_orthogonalised(tensor: TensorPlan) -> bool:
    """Whether Muon treats this weight as a matrix: every weight of two or more dims but the tables and the router."""
    return len(tensor.shape) > 1 and tensor.role not in ("embedding", "head", "router")
