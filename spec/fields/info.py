"""What the fields table says of one field and of one kind of block."""

from __future__ import annotations

from dataclasses import dataclass

from moec.spec.fields.types import FieldType


@dataclass(frozen=True, slots=True)
class When:
    """Another field of the same block is one of `words`, or is not one of `not_words`; both () for: is written at
    all.
    """

    field: str
    words: tuple[str, ...] = ()
    not_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field: `doc` in Markdown, `example` and `default` as a spec writes them.

    `default` is an expression, worked out in the block that holds the field. `required` fields must be written, where
    `only_when` holds and unless the field `unless` is written. A field that is neither has no value when it is not
    written; `absent` says what happens then. Where `only_when` does not hold the field has no effect, and writing it
    is an error.
    """

    name: str
    type: FieldType
    doc: str
    example: str
    default: str | None = None
    required: bool = False
    unless: str = ""
    only_when: When | None = None
    absent: str = ""
    unit: str = ""
    usually_binary: bool = False
    documentation: bool = False
    since: str = "2026"
    replaced_by: str = ""


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """One kind of block. `path` is dotted: `model.attention`. Of `exactly_one` just one must be written, of
    `at_least_one` one or more; writing one in a block that extends another drops those of the others that it
    inherits. The two of `may_pair` may stand together all the same, where one block writes both.
    """

    path: str
    doc: str
    fields: tuple[FieldInfo, ...]
    blocks: tuple[BlockInfo, ...] = ()
    required: bool = False
    optional_as_a_whole: bool = False
    exactly_one: tuple[str, ...] = ()
    at_least_one: tuple[str, ...] = ()
    may_pair: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def field(self, name: str) -> FieldInfo | None:
        """The field of this name, if there is one."""
        return next((info for info in self.fields if info.name == name), None)

    def block(self, name: str) -> BlockInfo | None:
        """The block of this name right inside, if there is one."""
        return next((info for info in self.blocks if info.name == name), None)
