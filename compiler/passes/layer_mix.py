"""ModelSpec, StackPlan -> Mix: what several passes ask of the layers."""

from __future__ import annotations

from fractions import Fraction

from moec.compiler.formulas.depth_routing import Mix
from moec.compiler.plan import StackPlan
from moec.compiler.typed import ModelSpec


def mix_of(model: ModelSpec, stack: StackPlan) -> Mix:
    """How many layers take every token, and how many a part of them."""
    routed = len(stack.numbers_of("routed"))
    return Mix(len(stack.layers) - routed, routed, model.depth_routing.capacity if model.depth_routing else Fraction(1))
