"""The fields of `study`."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.types import BlockType, ChoiceType, ListType, count

STUDY: Final = BlockInfo(
    "study",
    "Several runs, held against one another. `moec run` trains them and writes the comparison.",
    (
        FieldInfo(
            "runs",
            ListType(BlockType("run"), least=1, distinct=True),
            "The runs, in the order in which the report shows them. The first is what the others are compared with.",
            "[baseline, with_moe]",
            required=True,
        ),
        FieldInfo(
            "match",
            ChoiceType(("step_time", "tokens", "flops")),
            "What is made equal before losses are compared: time spent, tokens seen, or FLOPs spent. It has no "
            "default, since the winner may depend on it.",
            "tokens",
            required=True,
        ),
        FieldInfo(
            "seeds",
            ListType(count(0, 2**32 - 1), distinct=True),
            "Repeats every run once for each of these seeds. `[]` keeps the seed of each run.",
            "[0, 1, 2]",
            default="[]",
        ),
        FieldInfo(
            "report",
            ListType(ChoiceType(("table", "plot", "sample")), distinct=True),
            "What the report shows: the table of results, loss against tokens and seconds, generated text.",
            "[table]",
            default="[table, plot, sample]",
        ),
    ),
)
