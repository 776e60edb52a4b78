"""Of what a compiler prints, the part that a person needs is left."""

from __future__ import annotations

from moec.runtime.failure import RunError
from moec.runtime.proof.failure_text import noise_of, refusal
from moec.runtime.proof.signs import replications

OUT_OF_MEMORY = """\
RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 20.75G of 15.75G hbm. \
Exceeded hbm capacity by 5.00G.

Total hbm usage >= 21.00G:
    reserved        258.00M
    program          18.12G

  Largest program allocations in hbm:

  1. Size: 4.00G
     Operator: op_name="jit(step)/jvp()/dot_general" source_file="program.py" source_line=12
     Shape: bf16[32768,65536]{1,0:T(8,128)(2,1)}
     Unpadded size: 4.00G
"""

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1 cpu_client.cc:470] TfrtCpuClient created.
W1124 10:40:10.496798 31865 spmd_partitioner.cc:666] [SPMD] Involuntary full rematerialization. The compiler cannot \
go from sharding {a} to {b} efficiently for HLO operation %copy.2 = f32[4,256,256]{2,1,0} parameter(2).
Traceback (most recent call last):
KeyError: 'w'
"""


def test_too_little_memory_is_told_with_numbers_and_the_largest_arrays() -> None:
    told = refusal(RuntimeError(OUT_OF_MEMORY))
    assert told.splitlines() == [
        "does not fit: the compiler needs 20.75G of 15.75G hbm per device",
        "  the largest allocations:",
        "    4.00G bf16[32768,65536] for jit(step)/jvp()/dot_general",
    ]


def test_another_refusal_is_its_first_line_or_the_last_of_a_traceback() -> None:
    assert refusal(ValueError("no such axis\nat line 3")).endswith("ValueError: no such axis")
    assert refusal(RuntimeError("Traceback (most recent call last):\n  File x\nKeyError: 1")).endswith("KeyError: 1")
    behind = "INTERNAL: Traceback (most recent call last):\n  File x\nValueError: no seq\n\nSuspected:\n  a.py:6 [f]"
    assert refusal(RuntimeError(behind)).endswith("RuntimeError: ValueError: no seq")
    assert refusal(RunError("say it so")) == "say it so"


def test_what_compilers_always_print_is_left_out() -> None:
    assert noise_of(NOISE) == "Traceback (most recent call last):\nKeyError: 'w'"
    assert noise_of("\n") == "it printed nothing"


def test_arrays_that_the_compiler_replicates_are_told_once_each() -> None:
    (told,) = replications(NOISE + NOISE)
    assert told == "the compiler replicates f32[4,256,256] on all devices to shard it anew, 2 times"
