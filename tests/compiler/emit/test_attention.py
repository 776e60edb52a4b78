"""Where queries, keys and values are one matmul, and where they are three."""

import pytest

SPEC = """edition = 2026
model a {{
  vocab_size = 256
  seq_len    = 128
  n_layers   = 2
  d_model    = 64
  attention {{ n_heads = 4, n_kv_heads = 2, d_head = 16, bias = {bias}, qk_norm = {qk_norm} }}
  ffn       {{ d_ff = 128, activation = swiglu }}
}}
mesh m {{ hardware = {hardware}, devices = {devices}, axes {{ fsdp = 2, model = {model} }} }}
budget few {{ steps = 100 }}
run r {{ model = a, mesh = m, budget = few, batch {{ tokens = 512 }} }}
"""

AT_ONCE = """\
        q_BSNH, k_BSGH, v_BSGH = project_qkv(x_BSD, self.w_q, self.w_k, self.w_v)
        q_BSNH = rope(q_BSNH, batch.positions_BS, theta=10_000.0)
        k_BSGH = rope(k_BSGH, batch.positions_BS, theta=10_000.0)
"""
BIASED = """\
        q_BSNH, k_BSGH, v_BSGH = project_qkv(x_BSD, self.w_q, self.w_k, self.w_v, self.b_q, self.b_k, self.b_v)
        q_BSNH = rms_norm(q_BSNH, self.q_norm, eps=1e-5)
        q_BSNH = rope(q_BSNH, batch.positions_BS, theta=10_000.0)
"""
ONE_BY_ONE = """\
        q_BSNH = rope(split_heads(x_BSD, self.w_q), batch.positions_BS, theta=10_000.0)
        k_BSGH = rope(split_heads(x_BSD, self.w_k), batch.positions_BS, theta=10_000.0)
        v_BSGH = split_heads(x_BSD, self.w_v)
"""


@pytest.fixture
def program(compile_text):
    def compiled(hardware="h100", model=1, bias="false", qk_norm="false"):
        choices = {"hardware": hardware, "model": model, "bias": bias, "qk_norm": qk_norm}
        return compile_text(SPEC.format(devices=2 * model, **choices))["r"].program

    return compiled


@pytest.mark.parametrize(
    "options",
    [
        {"hardware": "a100"},
        {"hardware": "h100"},
        {"hardware": "b200", "model": 2},
        pytest.param({"hardware": "cpu", "model": 2}, id="on CPUs that sum over the model axis"),
    ],
)
def test_one_matmul_makes_queries_keys_and_values(program, options):
    text = program(**options)
    assert AT_ONCE in text
    assert "split_heads" not in text


def test_biases_and_norms_of_heads_come_after_that_matmul(program):
    assert BIASED in program(bias="true", qk_norm="true")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"hardware": "cpu"}, id="on CPUs that have all heads"),
        pytest.param({"hardware": "mi300x"}, id="on a GPU of another make"),
    ],
)
def test_elsewhere_each_has_a_matmul_of_its_own(program, options):
    text = program(**options)
    assert ONE_BY_ONE in text
    assert "project_qkv" not in text
