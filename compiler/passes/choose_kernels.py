"""RunSpec, MeshPlan, BatchPlan -> KernelPlan: the runtime's implementations by name, never `auto`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from moec.compiler.formulas.depth_routing import taken_tokens
from moec.compiler.formulas.memory import FLOAT32_BYTES
from moec.compiler.passes.places import place
from moec.compiler.plan import BatchPlan, KernelPlan, MeshPlan
from moec.compiler.typed import ModelSpec, RunSpec
from moec.spec.codes import depth_routing as depth_codes
from moec.spec.codes import memory as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.hardware import Hardware

PLATFORM_OF_KERNEL: Final = {
    "cudnn": "gpu",
    "splash": "tpu",
    "megablox": "tpu",
    "mosaic_gpu": "gpu",
    "triton": "gpu",
}
LANES: Final = 128
"""A row of a TPU's memory, of which the blocks of splash attention are multiples.

Source: jax.experimental.pallas.ops.tpu.splash_attention."""

CUDNN_MAX_HEAD: Final = 256
CUDNN_HEAD_MULTIPLE: Final = 8
CUDNN_LENGTH_MULTIPLE: Final = 2
"""Source: reference/jax-facts.md, jax.nn.dot_product_attention(implementation="cudnn") on Hopper; the last, of
sequences with a mask, from jax._src.cudnn.fused_attention_stablehlo."""

BY_LENGTHS: Final = ("h100", "h200", "b200", "gb200")
"""The GPUs on which cuDNN can be told documents by their lengths: Hopper and newer.
Source: jax._src.cudnn.fused_attention_stablehlo, check_is_flash_attention."""

AUTO_DOCUMENTS: Final = 16
"""What sequences of 4,096 tokens are seldom packed of more; 64 took twice the time and memory of 16 on one H100.
Source: docs/log.md, 2026-11-28."""

AMD: Final = ("mi300x",)

LARGEST_NORM: Final = 8192
"""Width of a row that the kernels of norms take. Source: moec.runtime.fused_norm."""

LOGITS_CHUNK_BYTES: Final = 128 * 2**20
"""Assumption: a chunk of float32 logits on one device may take this much; larger chunks gain nothing on a CPU."""

LARGEST_CHUNK_BYTES: Final = 2**30
HEADS_OF_CHUNK: Final = 4
"""On a GPU a chunk's logits may take so much, and so many times what the head's gradient takes, which is read and
written once for each chunk: with 128 MiB that took an H100 as long as its matmuls. Source: docs/log.md, 2026-11-28."""


def choose_kernels(run: RunSpec, mesh: MeshPlan, batch: BatchPlan) -> tuple[KernelPlan, tuple[Diagnostic, ...]]:
    """The attention kernel and the tokens of one chunk of the loss. Errors: MOE5206, MOE7102, MOE7103,
    MOE7106, MOE7108."""
    kernel, told = choose_attention(run, mesh)
    is_wanted = isinstance(run.model.attention.max_documents, int)
    if is_wanted and (cannot := lengths_cannot(run, kernel)):
        told = (*told, codes.lengths_cannot(place(run, "model.attention.max_documents"), cannot))
    return KernelPlan(kernel, told_documents(run, kernel), choose_chunk(run, mesh, batch)), told


def choose_attention(run: RunSpec, mesh: MeshPlan) -> tuple[str, tuple[Diagnostic, ...]]:
    """The kernel that is written, if this chip has it; else cuDNN or splash where they can, blocks everywhere else."""
    attention = run.model.attention
    if attention.kernel == "auto":
        return fastest_attention(run, mesh), ()
    at = place(run, "model.attention.kernel")
    told = tuple(not_on_platform(run, "model.attention.kernel", attention.kernel))
    if told:
        return attention.kernel, told
    if attention.kernel == "cudnn" and (cannot := cudnn_cannot(run, mesh)):
        return attention.kernel, (codes.cudnn_cannot(at, cannot),)
    if attention.kernel != "splash" or splash_can(run, mesh):
        return attention.kernel, ()
    seq_len, seq, taken = run.model.seq_len, mesh.axes["seq"], attended_lengths(run.model)[-1]
    if seq > 1 or seq_len % LANES:
        return attention.kernel, (codes.splash_cannot(at, LANES, seq_len, seq, place(run, "model.seq_len")),)
    capacity_at = place(run, "model.depth_routing.capacity")
    return attention.kernel, (depth_codes.blocks_do_not_fit(capacity_at, taken, seq_len, LANES, at),)


def told_documents(run: RunSpec, kernel: str) -> int | None:
    """How many documents of a sequence this kernel is told by their lengths, None where it is not."""
    documents = run.model.attention.max_documents
    if documents is None or lengths_cannot(run, kernel):
        return None
    return AUTO_DOCUMENTS if documents == "auto" else documents


def lengths_cannot(run: RunSpec, kernel: str) -> str:
    """Why documents cannot be told by their lengths to the kernel of this run, "" where they can."""
    if kernel != "cudnn":
        return f"the kernel of this run is {kernel}"
    if run.mesh.hardware.name not in BY_LENGTHS:
        return f"that needs a Hopper GPU or a newer one, not {run.mesh.hardware.name}"
    return "" if run.model.attention.window is None else "with a window it knows a mask alone"


def fastest_attention(run: RunSpec, mesh: MeshPlan) -> str:
    """What `auto` takes: the chip's fused kernel where it can run the model."""
    if not cudnn_cannot(run, mesh):
        return "cudnn"
    return "splash" if run.mesh.hardware.platform == "tpu" and splash_can(run, mesh) else "blockwise"


def splash_can(run: RunSpec, mesh: MeshPlan) -> bool:
    """Whether splash attention can run the model: whole sequences of whole blocks, in routed layers too."""
    return mesh.axes["seq"] == 1 and not any(length % LANES for length in attended_lengths(run.model))


def is_on_platform(run: RunSpec, kernel: str) -> bool:
    """Whether the kernel is made for the platform of the run's hardware."""
    platform = run.mesh.hardware.platform
    return PLATFORM_OF_KERNEL.get(kernel, platform) == platform


def not_on_platform(run: RunSpec, field: str, kernel: str) -> Iterator[Diagnostic]:
    """Error where the kernel that a field names is made for other hardware."""
    hardware = run.mesh.hardware
    if not is_on_platform(run, kernel):
        needed = PLATFORM_OF_KERNEL[kernel]
        at, chip, name = place(run, field), place(run, "mesh.hardware"), field.rpartition(".")[2]
        yield codes.kernel_not_on_platform(at, name, kernel, needed, hardware.name, hardware.platform, chip)


def attended_lengths(model: ModelSpec) -> tuple[int, ...]:
    """How many tokens of a sequence attention sees: all, and in routed layers those that are taken."""
    routing = model.depth_routing
    return (model.seq_len, *((taken_tokens(routing.capacity, model.seq_len),) if routing else ()))


def cudnn_cannot(run: RunSpec, mesh: MeshPlan) -> str:
    """Why cuDNN attention cannot run this model, "" where it can."""
    model, seq = run.model, mesh.axes["seq"]
    attention, hardware = model.attention, run.mesh.hardware
    if not is_nvidia(hardware):
        return f"it is made for NVIDIA's GPUs, not {hardware.name}"
    if seq > 1:
        return f"it needs whole sequences, and seq = {seq} cuts them"
    if model.dtype.compute != "bfloat16":
        return f"it computes in bfloat16, not {model.dtype.compute}"
    if attention.d_head % CUDNN_HEAD_MULTIPLE or attention.d_head > CUDNN_MAX_HEAD:
        return f"d_head must be a multiple of {CUDNN_HEAD_MULTIPLE} up to {CUDNN_MAX_HEAD}, not {attention.d_head}"
    if any(length % CUDNN_LENGTH_MULTIPLE for length in attended_lengths(model)):
        return "it wants an even number of tokens, of a sequence and in a routed layer"
    return "it has no softcap" if attention.softcap is not None else ""


def choose_chunk(run: RunSpec, mesh: MeshPlan, batch: BatchPlan) -> int:
    """Tokens per chunk of head and cross-entropy over all devices: equally many positions of every sequence, halved
    until the logits of one device stay within `chunk_bytes`.
    """
    model, most = run.model, chunk_bytes(run, mesh)
    positions, seq = model.seq_len, mesh.axes["seq"]
    sequences = batch.micro_sequences * seq // (mesh.devices // mesh.axes["model"])
    position_bytes = sequences * (model.vocab_size // mesh.axes["model"]) * FLOAT32_BYTES
    while positions // seq * position_bytes > most and positions % (2 * seq) == 0:
        positions //= 2
    return positions * batch.micro_sequences


def chunk_bytes(run: RunSpec, mesh: MeshPlan) -> int:
    """What the logits of a chunk may take on one device."""
    if run.mesh.hardware.platform != "gpu":
        return LOGITS_CHUNK_BYTES
    head = run.model.d_model * (run.model.vocab_size // mesh.axes["model"]) * FLOAT32_BYTES
    return max(LOGITS_CHUNK_BYTES, min(HEADS_OF_CHUNK * head, LARGEST_CHUNK_BYTES))


def forks_norms(run: RunSpec, mesh: MeshPlan) -> bool:
    """Whether the norms before attention and feed-forward are kernels of their own: of whole rows, not too wide, on an
    NVIDIA GPU."""
    model = run.model
    has_whole_rows = mesh.axes["model"] == 1 and model.d_model <= LARGEST_NORM
    return is_nvidia(run.mesh.hardware) and has_whole_rows and model.norm.kind == "rmsnorm"


def projects_at_once(run: RunSpec, mesh: MeshPlan) -> bool:
    """Whether queries, keys and values are one matmul: XLA adds up the gradients of three in kernels of their own on
    GPUs, and on CPUs sums each over the model axis first. Source: docs/log.md, 2026-11-28."""
    hardware = run.mesh.hardware
    return is_nvidia(hardware) or (hardware.platform == "cpu" and mesh.axes["model"] > 1)


def is_nvidia(hardware: Hardware) -> bool:
    """Whether it is a GPU of NVIDIA's."""
    return hardware.platform == "gpu" and hardware.name not in AMD
