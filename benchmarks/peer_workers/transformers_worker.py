"""Hugging Face transformers on torch: Llama and Mixtral; the second argument names the implementation of experts.

Eager mode, attention by torch's own kernel (`sdpa`), the fused AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from protocol import BALANCE_LOSS, BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, Work, serve, server, work

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def make_model(wanted: Work, experts_implementation: str) -> PreTrainedModel:
    """A fresh model of the wanted shapes, on torch's default device."""
    from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

    sizes = {
        "vocab_size": wanted.vocab,
        "hidden_size": wanted.width,
        "intermediate_size": wanted.d_ff,
        "num_hidden_layers": wanted.layers,
        "num_attention_heads": wanted.heads,
        "num_key_value_heads": wanted.kv_heads or wanted.heads,
        "max_position_embeddings": wanted.length,
        "tie_word_embeddings": False,
        "use_cache": False,
    }
    if not wanted.n_experts:
        return LlamaForCausalLM._from_config(LlamaConfig(**sizes), attn_implementation="sdpa")
    experts = {
        "num_local_experts": wanted.n_experts,
        "num_experts_per_tok": wanted.top_k,
        "output_router_logits": True,
        "router_aux_loss_coef": BALANCE_LOSS,
    }
    return MixtralForCausalLM._from_config(
        MixtralConfig(**sizes, **experts), attn_implementation="sdpa", experts_implementation=experts_implementation
    )


def make_step(model: PreTrainedModel, tokens: torch.Tensor, micro: int | None = None) -> Callable[[], torch.Tensor]:
    """A training step on these tokens, as all peers take it, in micro-batches of `micro` sequences that divide them
    (by default all at once); gives the loss."""
    import torch

    parts = tokens.split(micro or len(tokens))

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )

    def step() -> torch.Tensor:
        losses = []
        for part in parts:
            loss = model(input_ids=part, labels=part).loss / len(parts)
            loss.backward()
            losses.append(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return torch.stack(losses).sum()

    return step


def main() -> None:
    served, wanted = server(), work()
    import sys

    import torch

    torch.manual_seed(0)
    model = make_model(wanted, sys.argv[2])
    step = make_step(model, torch.randint(0, wanted.vocab, (wanted.sequences, wanted.length)))
    serve(served, lambda: float(step()))


if __name__ == "__main__":
    main()
