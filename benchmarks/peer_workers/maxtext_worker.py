"""MaxText: its own training loop on its synthetic data, held before each iteration until the driver wants a step.

Layers unrolled, and all kept that its checkpointing has a name for: its quickest setting on CPU at these shapes.
`remat_policy: none` compiles to the very program of `full`, which makes each layer again in the backward pass.

The second argument says how experts that drop nothing are multiplied: `ragged_dot`, or `all_experts` for every token.
"""

from __future__ import annotations

import sys
import time

from protocol import BALANCE_LOSS, BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, Work, server, work

KEPT = (
    *("query_proj", "key_proj", "value_proj", "context", "out_proj", "mlpwi_0", "mlpwi_1", "mlpwo"),
    *("moe_mlpwi_0", "moe_mlpwi_1", "moe_mlpwo", "moe_x_sorted", "moe_routing_maps"),
)
"""What forward passes save for backward passes, by MaxText's names; a dense model has the first row alone."""


def options(wanted: Work, folder: str, experts: str) -> dict[str, object]:
    """MaxText's names for what all peers compute."""
    chosen: dict[str, object] = {
        "run_name": "peer",
        "base_output_directory": folder,
        "dataset_type": "synthetic",
        "hardware": "cpu",
        "skip_jax_distributed_system": True,
        "steps": 1_000_000,
        "learning_rate_schedule_steps": 1_000,
        "per_device_batch_size": wanted.sequences,
        "max_target_length": wanted.length,
        "vocab_size": wanted.vocab,
        "base_emb_dim": wanted.width,
        "base_mlp_dim": wanted.d_ff,
        "base_num_decoder_layers": wanted.layers,
        "base_num_query_heads": wanted.heads,
        "base_num_kv_heads": wanted.heads,
        "head_dim": wanted.width // wanted.heads,
        "dtype": "float32",
        "weight_dtype": "float32",
        "attention": "dot_product",
        "remat_policy": "custom",
        **dict.fromkeys(KEPT, "device"),
        "scan_layers": False,
        "decoder_block": "mixtral" if wanted.n_experts else "llama2",
        "learning_rate": LEARNING_RATE,
        "gradient_clipping_threshold": CLIP,
        "adam_b1": BETAS[0],
        "adam_b2": BETAS[1],
        "adam_weight_decay": WEIGHT_DECAY,
        "enable_checkpointing": False,
        "enable_tensorboard": False,
        "jax_cache_dir": "",
    }
    if wanted.n_experts:
        chosen |= {
            "num_experts": wanted.n_experts,
            "num_experts_per_tok": wanted.top_k,
            "base_moe_mlp_dim": wanted.d_ff,
            "load_balance_loss_weight": BALANCE_LOSS,
            "megablox": False,
            "sparse_matmul": wanted.capacity_factor is None and experts == "ragged_dot",
            "capacity_factor": wanted.capacity_factor or -1.0,
        }
    return chosen


def main() -> None:
    served, wanted = server(), work()
    import tempfile
    from pathlib import Path

    import jax
    import maxtext
    from maxtext.trainers.pre_train import train
    from maxtext.utils.exceptions import StopTraining

    iterate = train.training_loop_iteration
    served.count_compiling()

    def iteration(device_state: dict, *others: object) -> object:
        if not served.wait():
            raise StopTraining("the driver has what it wants")
        start = time.perf_counter()
        metrics = iterate(device_state, *others)
        jax.block_until_ready(device_state["state"])
        served.took(time.perf_counter() - start, float(metrics["scalar"]["learning/loss"]))
        return metrics

    train.training_loop_iteration = iteration
    base = Path(maxtext.__file__).parent / "configs" / "base.yml"
    with tempfile.TemporaryDirectory() as folder:
        chosen = options(wanted, folder, sys.argv[2])
        train.main(["", str(base), *(f"{name}={value}" for name, value in chosen.items())])


if __name__ == "__main__":
    main()
