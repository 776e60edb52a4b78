"""The floor: ../plain_step.py, written by hand for these shapes. Its mixture drops tokens."""

from __future__ import annotations

from protocol import BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, serve, server, work


def main() -> None:
    served, wanted = server(), work()
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).parents[1]))
    import jax
    import numpy as np
    import optax
    import plain_step
    from jax import numpy as jnp

    served.count_compiling()
    shape = plain_step.Shape(
        wanted.vocab,
        wanted.length,
        wanted.layers,
        wanted.width,
        wanted.heads,
        wanted.heads,
        wanted.d_ff,
        wanted.n_experts,
        wanted.top_k,
        wanted.capacity_factor or 0.0,
    )
    adamw = optax.adamw(LEARNING_RATE, b1=BETAS[0], b2=BETAS[1], weight_decay=WEIGHT_DECAY)
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), adamw)
    params = jax.jit(lambda: plain_step.make_params(shape))()
    state = params, jax.jit(optimizer.init)(params)
    take = plain_step.make_step(shape, optimizer)
    rows = np.random.default_rng(0).integers(0, wanted.vocab, (wanted.sequences, wanted.length + 1)).astype(np.int32)
    tokens, targets = jnp.asarray(rows[:, :-1]), jnp.asarray(rows[:, 1:])

    def step() -> float:
        nonlocal state
        params, kept, loss = take(*state, tokens, targets)
        state = params, kept
        return float(loss)

    serve(served, step)


if __name__ == "__main__":
    main()
