"""Where a block forks the residual stream with the kernels of GPUs, and where it normalises plainly."""

import re

import pytest

SPEC = """edition = 2026
model a {{
  vocab_size = 256
  seq_len    = 128
  n_layers   = 2
  d_model    = {d_model}
  norm      {{ kind = {kind}, placement = {placement} }}
  attention {{ n_heads = 4, n_kv_heads = 2, d_head = 16, qk_norm = true }}
  ffn       {{ d_ff = 128, activation = swiglu }}
  experts   {{ n_experts = 4, top_k = 2, d_ff = 64, capacity_factor = dropless, every = 2, balance_loss = 0.01 }}
}}
mesh m {{ hardware = {hardware}, devices = {devices}, axes {{ fsdp = 2, model = {model} }} }}
budget few {{ steps = 100 }}
run r {{ model = a, mesh = m, budget = few, batch {{ tokens = 512 }} }}
"""

FORKED = """\
        x_BSD, normed_BSD = fork_rms_norm(x_BSD, self.attention_norm, eps=1e-5)
        mixed_BSD, cache = self.attention(normed_BSD, batch, cache)
        x_BSD, normed_BSD = add_rms_norm(x_BSD, mixed_BSD, self.ffn_norm, eps=1e-5)
        x_BSD = x_BSD + self.ffn(normed_BSD)
"""


@pytest.fixture
def program(compile_text):
    def compiled(hardware="h100", model=1, d_model=64, kind="rmsnorm", placement="pre"):
        choices = {"hardware": hardware, "model": model, "d_model": d_model, "kind": kind, "placement": placement}
        spec = SPEC.format(devices=2 * model, **choices)
        return compile_text(spec)["r"].program

    return compiled


@pytest.mark.parametrize("hardware", ["a100", "h100", "b200"])
def test_on_nvidia_gpus_norms_before_attention_and_feed_forward_fork_the_stream(program, hardware):
    text = program(hardware=hardware)
    assert FORKED in text
    assert "from moec.runtime.fused_norm import add_rms_norm, fork_rms_norm\n" in text
    plain = re.findall(r"[ (]rms_norm\(.*, self\.(\w+), eps=1e-5\)", text)
    assert sorted(plain) == ["experts_norm", "final_norm", "k_norm", "q_norm"]


def test_norms_after_a_branch_are_plain_beside_those_before_it(program):
    text = program(placement="hybrid")
    assert text.count("fork_rms_norm(x_BSD, self.attention_norm,") == 2
    assert text.count("= x_BSD + rms_norm(mixed_BSD, self.attention_norm_after,") == 2
    assert "add_rms_norm" not in text


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"hardware": "cpu"}, id="on a CPU"),
        pytest.param({"hardware": "mi300x"}, id="on a GPU of another make"),
        pytest.param({"model": 2}, id="where devices have parts of rows"),
        pytest.param({"d_model": 8256}, id="of rows that are too wide"),
        pytest.param({"kind": "layernorm"}, id="of another kind"),
        pytest.param({"placement": "post"}, id="of a sum"),
    ],
)
def test_elsewhere_no_norm_forks_the_stream(program, options):
    assert "fork_rms_norm" not in program(**options)
