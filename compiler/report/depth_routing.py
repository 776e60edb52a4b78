"""The section on depth routing: which layers take how many tokens, and how that is decided."""

from __future__ import annotations

from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.report.document import Paragraph, Section
from moec.compiler.report.facts import facts
from moec.compiler.units import exact, layers_in_words


def depth_routing_section(plan: Plan, places: Places) -> Section | None:
    """None where every layer takes every token."""
    routing = plan.run.model.depth_routing
    if routing is None:
        return None
    numbers = plan.stack.numbers_of("routed")
    verb = "takes" if len(numbers) == 1 else "take"
    what = f"{layers_in_words(numbers)} {verb} the tokens of a sequence that their routers score highest"
    how = f"{exact(routing.aux_loss)} x the binary cross-entropy of the scores against that choice"
    text = Paragraph(f"{what}; in evaluation and generation each token that scores above 0. The objective has {how}.")
    return Section("Depth routing", (text, *facts(plan, places, "routed_layers", "taken_tokens")))
