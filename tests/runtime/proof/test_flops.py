"""FLOPs are those of the products, with loops and every way to write a product counted right."""

from __future__ import annotations

import jax
import pytest
from jax import numpy as jnp

from moec.runtime.proof.flops import count_flops
from moec.runtime.proof.hlo import read_module
from moec.runtime.proof.loops import count_executions

CONVOLUTION = """\
HloModule jit_step

ENTRY %main (x: bf16[4096,256,1], w: bf16[256,8,128]) -> bf16[4096,8,128] {
  %x = bf16[4096,256,1]{1,0,2} parameter(0)
  %w = bf16[256,8,128]{0,2,1} parameter(1)
  ROOT %y = bf16[4096,8,128]{0,2,1} convolution(%x, %w), WINDOW
}
"""


def flops_of(text: str, n_experts: int = 0) -> float:
    module = read_module(text)
    return count_flops(module, count_executions(module), n_experts)


def test_a_product_in_a_scan_counts_as_often_as_the_scan_is_long() -> None:
    weights = jax.ShapeDtypeStruct((5, 64, 64), jnp.float32)
    rows = jax.ShapeDtypeStruct((32, 64), jnp.float32)

    def run(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

    assert flops_of(jax.jit(run).lower(rows, weights).compile().as_text()) == 5 * 2 * 32 * 64 * 64


def test_batched_products_and_their_gradients_count() -> None:
    x, w = jax.ShapeDtypeStruct((4, 16, 32), jnp.float32), jax.ShapeDtypeStruct((4, 32, 8), jnp.float32)

    def run(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.sum(jnp.einsum("erd,edf->erf", x, w) ** 2)

    text = jax.jit(jax.grad(run, argnums=(0, 1))).lower(x, w).compile().as_text()
    assert flops_of(text) == 3 * 2 * 4 * 16 * 32 * 8


@pytest.mark.parametrize(
    ("window", "flops"),
    [
        ("window={size=8 pad=7_7 rhs_reversal=1}, dim_labels=bf0_i0o->b0f", 2 * 4096 * 256 * 8 * 128),
        ("dim_labels=bf0_io0->b0f", 0),
    ],
    ids=["a window over zeros", "no window"],
)
def test_a_tpu_s_convolution_is_the_product_that_it_stands_for(window: str, flops: int) -> None:
    text = CONVOLUTION.replace("WINDOW", window)
    if flops == 0:
        text = text.replace("bf16[256,8,128]", "bf16[256,128,1]").replace("bf16[4096,8,128]", "bf16[4096,1,128]")
        flops = 2 * 4096 * 256 * 128
    assert flops_of(text) == flops


def test_cublas_products_count_by_what_they_contract() -> None:
    text = """\
HloModule jit_step

ENTRY main (a: bf16[128,64], b: bf16[64,32]) -> bf16[128,32] {
  %a = bf16[128,64]{1,0} parameter(0)
  %b = bf16[64,32]{1,0} parameter(1)
  ROOT %c = (bf16[128,32]{1,0}, s8[99]{0}) custom-call(%a, %b), custom_call_target="__cublas$gemm", \
backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions": ["1"]}}}
}
"""
    assert flops_of(text) == 2 * 128 * 64 * 32


@pytest.mark.parametrize(
    ("target", "mask", "flops"),
    [
        ("__cudnn$fmhaSoftmax", "NO_MASK", 2 * 2 * 8 * 4 * 64 * 256 * 256),
        ("__cudnn$fmhaSoftmax", "CAUSAL", 2 * 8 * 4 * 64 * 256 * 256),
        ("__cudnn$fmhaSoftmaxBackward", "PADDING_CAUSAL", 5 * 8 * 4 * 64 * 256 * 256),
    ],
)
def test_fused_attention_counts_its_products_and_what_a_causal_mask_skips(target: str, mask: str, flops: int) -> None:
    text = f"""\
HloModule jit_step

ENTRY main (q: bf16[8,256,4,64], k: bf16[8,256,2,64], v: bf16[8,256,2,64]) -> bf16[8,4,256,64] {{
  %q = bf16[8,256,4,64]{{3,2,1,0}} parameter(0)
  %k = bf16[8,256,2,64]{{3,2,1,0}} parameter(1)
  %v = bf16[8,256,2,64]{{3,2,1,0}} parameter(2)
  ROOT %o = (bf16[8,4,256,64]{{3,1,2,0}}, u8[0]{{0}}) custom-call(%q, %k, %v), custom_call_target="{target}", \
backend_config={{"cudnn_fmha_backend_config": {{"mask_type": "{mask}"}}}}
}}
"""
    assert flops_of(text) == flops


@pytest.mark.parametrize(("kernel", "products"), [("fwd_segmented_residuals", 2), ("dq_no_residuals", 3), ("dkv", 4)])
@pytest.mark.parametrize("sequences", [8, 1])
def test_splash_attention_counts_the_causal_half_of_its_products(kernel: str, products: int, sequences: int) -> None:
    text = f"""\
HloModule jit_step

ENTRY main (m: s8[1,4,4], q: bf16[8,4,256,64], k: bf16[8,2,256,64]) -> bf16[8,4,256,64] {{
  %m = s8[1,4,4]{{2,1,0}} parameter(0)
  %q = bf16[8,4,256,64]{{3,2,1,0}} parameter(1)
  %k = bf16[8,2,256,64]{{3,2,1,0}} parameter(2)
  ROOT %splash_mha_{kernel}.4 = bf16[8,4,256,64]{{3,2,1,0}} custom-call(%m, %q, %k), \
custom_call_target="tpu_custom_call", frontend_attributes={{kernel_metadata={{

"xprof_metadata":"{{}}"
}}}}
}}
"""
    if sequences == 1:
        text = text.replace("bf16[8,", "bf16[").replace("{3,2,1,0}", "{2,1,0}")
    assert flops_of(text) == products * sequences * 4 * 64 * 256 * 256


@pytest.mark.parametrize("target", ["mosaic_gpu_v2", "__gpu$xla.gpu.triton", "tpu_custom_call"])
@pytest.mark.parametrize("weights", ["bf16[8,64,96]", "bf16[8,96,64]"])
def test_a_grouped_matmul_counts_each_row_once(target: str, weights: str) -> None:
    text = f"""\
HloModule jit_step

ENTRY main (c: s32[8], x: bf16[512,64], w: {weights}) -> bf16[512,96] {{
  %c = s32[8]{{0}} parameter(0)
  %x = bf16[512,64]{{1,0}} parameter(1)
  %w = {weights}{{2,1,0}} parameter(2)
  ROOT %kernel.1 = bf16[512,96]{{1,0}} custom-call(%c, %x, %w), custom_call_target="{target}"
}}
"""
    assert flops_of(text) == flops_of(text, 8) == 2 * 512 * 64 * 96
    assert flops_of(text, 32) == 2 * 512 / 4 * 64 * 96


@pytest.mark.parametrize("rows", ["bf16[512,64]", "bf16[64,512]"])
def test_the_gradient_of_grouped_weights_counts_each_row_once(rows: str) -> None:
    text = f"""\
HloModule jit_step

ENTRY main (c: s32[8], x: {rows}, y: bf16[512,96]) -> f32[8,64,96] {{
  %c = s32[8]{{0}} parameter(0)
  %x = {rows}{{1,0}} parameter(1)
  %y = bf16[512,96]{{1,0}} parameter(2)
  ROOT %kernel.1 = f32[8,64,96]{{2,1,0}} custom-call(%c, %x, %y), custom_call_target="mosaic_gpu_v2"
}}
"""
    assert flops_of(text) == flops_of(text, 8) == 2 * 512 * 64 * 96
    assert flops_of(text, 32) == 2 * 512 / 4 * 64 * 96


def test_another_pallas_kernel_counts_nothing() -> None:
    text = """\
HloModule jit_step

ENTRY main (x: bf16[512,64], w: bf16[8,32,64]) -> bf16[512,96] {
  %x = bf16[512,64]{1,0} parameter(0)
  %w = bf16[8,32,64]{2,1,0} parameter(1)
  ROOT %kernel.1 = bf16[512,96]{1,0} custom-call(%x, %w), custom_call_target="mosaic_gpu_v2"
}
"""
    assert flops_of(text) == 0
