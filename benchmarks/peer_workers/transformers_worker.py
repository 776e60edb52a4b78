"""Hugging Face transformers on torch: Llama and Mixtral; the second argument names the implementation of experts.

Eager mode, attention by torch's own kernel (`sdpa`), the fused AdamW.
"""

from __future__ import annotations

from protocol import BALANCE_LOSS, BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, serve, server, work


def main() -> None:
    served, wanted = server(), work()
    import sys

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

    sizes = {
        "vocab_size": wanted.vocab,
        "hidden_size": wanted.width,
        "intermediate_size": wanted.d_ff,
        "num_hidden_layers": wanted.layers,
        "num_attention_heads": wanted.heads,
        "num_key_value_heads": wanted.heads,
        "max_position_embeddings": wanted.length,
        "tie_word_embeddings": False,
        "use_cache": False,
    }
    torch.manual_seed(0)
    if wanted.n_experts:
        experts = {
            "num_local_experts": wanted.n_experts,
            "num_experts_per_tok": wanted.top_k,
            "output_router_logits": True,
            "router_aux_loss_coef": BALANCE_LOSS,
        }
        model = MixtralForCausalLM._from_config(
            MixtralConfig(**sizes, **experts), attn_implementation="sdpa", experts_implementation=sys.argv[2]
        )
    else:
        model = LlamaForCausalLM._from_config(LlamaConfig(**sizes), attn_implementation="sdpa")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )
    tokens = torch.randint(0, wanted.vocab, (wanted.sequences, wanted.length))

    def step() -> float:
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss)

    serve(served, step)


if __name__ == "__main__":
    main()
