"""The compiler's text is read into instructions with shapes, operands and names."""

from __future__ import annotations

import pytest

from moec.runtime.proof.hlo import Array, arrays_of, read_module


def test_an_instruction_has_its_shape_operands_and_origin(loop) -> None:
    module = read_module(loop())
    row = module.computations["body"].named()["slots"]
    assert row.opcode == "all-to-all"
    assert row.results == (Array("f32", (8, 4)),)
    assert row.operands == ("x",)
    assert row.op_name == "jit(step)/jvp(scan)/while/body/shard_map/all_to_all"
    assert not row.is_root


def test_the_entry_and_what_is_called_are_known(loop) -> None:
    module = read_module(loop())
    assert module.entry == "main"
    assert set(module.computations["main"].named()["loop"].called) == {"condition", "body"}
    assert module.computations["main"].named()["x.1"].op_name == "state.params['w']"


def test_tuples_keep_their_parts_and_layouts_are_left_out(sample) -> None:
    module = read_module(sample("gpu"))
    assert module.computations["main"].named()["gather"].results == (Array("bf16", (64, 2)), Array("bf16", (128, 2)))
    assert read_module(sample("tpu")).computations["main"].named()["p"].results == (Array("f32", (64, 8)),)


@pytest.mark.parametrize(
    ("text", "size"),
    [("f32[8,4]{1,0}", 128), ("bf16[3]", 6), ("pred[]", 1), ("f8e4m3fn[10]", 10), ("s4[4]", 2), ("f32[0,4]", 0)],
)
def test_bytes_follow_type_and_shape(text: str, size: int) -> None:
    (array,) = arrays_of(text)
    assert array.bytes == size


def test_text_without_a_program_is_refused() -> None:
    with pytest.raises(ValueError, match="no entry"):
        read_module("HloModule empty\n")
