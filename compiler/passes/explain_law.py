"""Plan -> derivations of what laws say of the finished plan: the loss, and what routing is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from moec.compiler.laws.clark import REFIT, effective_parameters
from moec.compiler.laws.expansion import saturated_experts
from moec.compiler.passes.ask_law import ask_law, dense_equivalent
from moec.compiler.plan import Derivation, Number, Plan


def explain_loss(plan: Plan) -> Iterator[Derivation]:
    """The loss that the budget's law predicts for the tokens of the whole steps."""
    answer, _ = ask_law(plan.run, plan.tensors, plan.parameters)
    if answer is None or answer.surface is None:
        return
    formula, fit = answer.surface.loss_formula()
    inputs: Mapping[str, Number] = {"n_params": answer.routed.n_params, "tokens": plan.budget.tokens, **fit}
    error = f"; it errs by {answer.law.rmse:.2g}" if answer.law.rmse else ""
    loss = answer.surface.loss(answer.routed.n_params, plan.budget.tokens)
    yield Derivation("law.loss", loss, "nats per token", formula, inputs, f"{answer.law.source}{error}", "budget.law")


def explain_effective_size(plan: Plan) -> Iterator[Derivation]:
    """The dense model that is as good, for models routed as those that this was fitted on: one expert per token."""
    experts = plan.run.model.experts
    if experts is None or experts.top_k != 1 or experts.n_shared_experts:
        return
    fit, n_params = REFIT["s_base"], dense_equivalent(plan.tensors)
    inputs: Mapping[str, Number] = {
        "n_params": n_params,
        "slope": fit.slope(saturated_experts(experts.n_experts, fit.start, fit.end)),
        "dense_slope": fit.slope(fit.start),
        "experts": saturated_experts(experts.n_experts, fit.start, fit.end),
        "start": fit.start,
        "b": fit.b,
    }
    yield Derivation(
        "params.effective",
        effective_parameters(fit, n_params, experts.n_experts),
        "parameters",
        "n_params**(slope / dense_slope) * (experts / start)**(b / dense_slope)",
        inputs,
        "Clark et al., arXiv 2202.01169: the dense model of equal loss after 130B tokens, refit for S-BASE",
        "model.experts.n_experts",
    )
