"""The fields of `data`."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.types import ChoiceType, ListType, NumberType, TextType, count, positive

DATA: Final = BlockInfo(
    "data",
    "The text to train on. A run without it can be planned, compiled and proven.",
    (
        FieldInfo(
            "source",
            ListType(TextType(("python_stdlib",)), least=1, single=True, distinct=True),
            "Where documents come from: paths or globs, relative to the folder in which moec is started, or "
            "`python_stdlib`, the Python files of the interpreter itself. Several are mixed.",
            '"corpus/*.jsonl"',
            required=True,
        ),
        FieldInfo(
            "format",
            ChoiceType(("auto", "text", "jsonl", "parquet")),
            "How the files are read. `auto` goes by the ends of their names, and takes others as text, one document"
            " per file.",
            "jsonl",
            default="auto",
        ),
        FieldInfo(
            "text_field",
            TextType(),
            "The key or column that holds the text, in JSONL and Parquet files.",
            '"content"',
            default='"text"',
            only_when=When("format", not_words=("text",)),
        ),
        FieldInfo(
            "tokenizer",
            TextType(("bytes",)),
            "`bytes` makes each byte a token. A path names a `tokenizers` JSON file or a SentencePiece model.",
            '"tokenizer.json"',
            required=True,
        ),
        FieldInfo(
            "split",
            NumberType(whole=False, minimum=0, below=1),
            "The fraction of documents that is held out for evaluation. A document goes by its content, so a copy "
            "stays on its side.",
            "0.01",
            default="0.05",
        ),
        FieldInfo(
            "packing",
            ChoiceType(("documents", "concatenate")),
            "`documents` packs whole documents and pieces into sequences and lets no token see another document. "
            "`concatenate` lets them see across.",
            "concatenate",
            default="documents",
        ),
        FieldInfo("seed", count(0, 2**32 - 1), "Seed of the order of documents.", "1", default="0"),
        FieldInfo(
            "mixture",
            ListType(positive(), least=1),
            "The share of tokens that each source gives, in the order of `source`. They sum to 1.",
            "[0.7, 0.3]",
            absent="equal shares",
        ),
    ),
)
