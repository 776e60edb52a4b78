"""The fields table -> the JSON Schema (draft-07) of the YAML form, for editors and other tools.

What a schema can say of a file by itself: names, kinds of values, ranges, what excludes what. An expression may stand
for any value, and a block that extends another may lack anything, so a file that keeps the schema can still be wrong;
`moec check` has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any, Final

from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.table import EDITION, TABLE
from moec.spec.fields.types import (
    BlockType,
    BooleanType,
    FieldType,
    HardwareType,
    ListType,
    NumberType,
    TextType,
    TopologyType,
    range_rule,
    type_name,
    words_of,
)
from moec.spec.limits import MAX_IDENTIFIER, MAX_LIST_ITEMS
from moec.spec.quantities import SUFFIX_VALUES, read_number
from moec.spec.schema_snippets import snippets

Schema = Mapping[str, Any]

SCHEMA_NAME: Final = f"moe-{EDITION}.json"
_NAME: Final = rf"^[A-Za-z_][A-Za-z0-9_]{{0,{MAX_IDENTIFIER - 1}}}$"
_SUFFIXES: Final = "|".join(sorted(filter(None, SUFFIX_VALUES), key=lambda suffix: (-len(suffix), suffix)))

_DEFINITIONS: Final[Mapping[str, Schema]] = {
    "name": {"type": "string", "pattern": _NAME},
    "number": {
        "type": "string",
        "pattern": rf"^-?[0-9][0-9_]*(\.[0-9_]+)?([eE][+-]?[0-9]+)?({_SUFFIXES})?$",
        "description": "A number as the language writes it: `128_256`, `4Ki`, `7B`, `1e-4`, `80GiB`.",
    },
    "expression": {
        "type": "string",
        "pattern": r"^=|[ (.]|^[A-Za-z_][A-Za-z0-9_]*$",
        "description": "An expression: `128 * heads`, `dense.d_model`, or a name.",
    },
    "compound": {
        "type": "string",
        "pattern": r"^=|[ (.]",
        "description": "An expression that is more than a name, or begins with `=`.",
    },
    "topology": {"type": "string", "pattern": "^[0-9]+(x[0-9]+)+$"},
    "reference": {"type": "string", "pattern": _NAME.replace("$", r"(\.[A-Za-z_][A-Za-z0-9_]*)*$")},
    "value": {"type": ["string", "number", "boolean", "array"], "items": {"$ref": "#/definitions/value"}},
    "asserts": {
        "type": "array",
        "description": "What must hold over the plan.",
        "items": {
            "type": "object",
            "required": ["that"],
            "additionalProperties": False,
            "properties": {
                "that": {"type": ["string", "boolean"], "description": "A condition."},
                "why": {"type": "string", "description": "Printed when it fails."},
            },
        },
    },
}


def json_schema() -> Schema:
    """The schema, the same on every call, ready to be written as JSON."""
    top = {
        "edition": {"const": EDITION, "description": "The rules by which the file is read."},
        "use": _named({"type": "string"}, "Other files, by alias: `{base: base.moe.yaml}`."),
        "let": _named({"$ref": "#/definitions/value"}, "Named values."),
    }
    kinds = {
        info.path: {**_named({"$ref": f"#/definitions/{info.path}"}, info.doc), "defaultSnippets": snippets(info)}
        for info in TABLE
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_NAME,
        "title": f"moec spec, edition {EDITION}, YAML form",
        "type": "object",
        "required": ["edition"],
        "additionalProperties": False,
        "properties": {**top, **kinds},
        "definitions": {**_DEFINITIONS, **{info.path: _top_block(info) for info in TABLE}},
    }


def _named(inner: Schema, description: str) -> Schema:
    return {
        "type": "object",
        **_described(description),
        "propertyNames": {"$ref": "#/definitions/name"},
        "additionalProperties": inner,
    }


def _top_block(info: BlockInfo) -> Schema:
    """A block that, unless it extends another, must be whole."""
    block = dict(_block(info))
    block["properties"] = {
        "doc": {"type": "string", "description": "What the block is."},
        "extends": {"$ref": "#/definitions/reference", "description": "The block that this one begins as a copy of."},
        **block["properties"],
    }
    whole = {"if": {"not": {"required": ["extends"]}}, "then": _wholeness(info)}
    return {**block, "allOf": [*block.get("allOf", ()), whole]}


def _block(info: BlockInfo) -> Schema:
    properties: dict[str, Any] = {field.name: _field(field) for field in info.fields}
    properties |= {block.name: _inner_block(block) for block in info.blocks}
    if info.path != "study":
        properties["assert"] = {"$ref": "#/definitions/asserts"}
    schema: dict[str, Any] = {
        "type": "object",
        **_described(info.doc),
        "additionalProperties": False,
        "properties": properties,
    }
    rules = [
        *(_exclusion(pair) for pair in combinations(info.exactly_one, 2) if set(pair) != set(info.may_pair)),
        *_conditions(info),
    ]
    return {**schema, "allOf": rules} if rules else schema


def _inner_block(info: BlockInfo) -> Schema:
    block = dict(_block(info))
    block["properties"] = {"doc": {"type": "string"}, **block["properties"]}
    return block


def _exclusion(pair: tuple[str, str]) -> Schema:
    return {"not": {"required": list(pair)}}


def _conditions(info: BlockInfo) -> list[Schema]:
    """For each field that needs another to have an effect: where it stands, that other one must not forbid it."""
    rules: list[Schema] = []
    for field in info.fields:
        condition = field.only_when
        if condition is None:
            continue
        decider = info.field(condition.field)
        words = words_of(decider.type) if decider else ()
        good = condition.words or tuple(word for word in words if word not in condition.not_words)
        bad = [word for word in words if word not in good] if condition.words or condition.not_words else []
        if bad:
            then = {"properties": {condition.field: {"not": {"enum": bad}}}}
            rules.append({"if": {"required": [field.name]}, "then": then})
    return rules


def _wholeness(info: BlockInfo) -> Schema:
    """What a block that extends nothing must have."""
    required = [field.name for field in info.fields if field.required and not field.unless and not field.only_when]
    required += [block.name for block in info.blocks if block.required]
    rules: list[Schema] = [{"anyOf": [{"required": [name]} for name in group]} for group in _groups(info)]
    rules += [
        {"anyOf": [{"required": [field.name]}, {"required": [field.unless]}]}
        for field in info.fields
        if field.required and field.unless
    ]
    rules += [
        {"if": {"required": [field.only_when.field]}, "then": {"required": [field.name]}}
        for field in info.fields
        if field.required and field.only_when and not (field.only_when.words or field.only_when.not_words)
    ]
    inner = {block.name: _wholeness(block) for block in info.blocks}
    inner = {name: schema for name, schema in inner.items() if schema}
    schema: dict[str, Any] = {"required": required} if required else {}
    if rules:
        schema["allOf"] = rules
    return {**schema, "properties": inner} if inner else schema


def _groups(info: BlockInfo) -> tuple[tuple[str, ...], ...]:
    return tuple(group for group in (info.exactly_one, info.at_least_one) if group)


def _field(field: FieldInfo) -> Schema:
    value = dict(_value(field.type))
    rule = range_rule(field.type) if isinstance(field.type, NumberType) else ""
    kind = f"Takes {type_name(field.type)}{f', {rule}' if rule else ''}."
    default = f" Default: `{field.default}`." if field.default is not None else ""
    value |= _described(f"{field.doc}\n\n{kind}{default}")
    value["examples"] = [_as_json(field.example)]
    if field.default is not None and _is_constant(field.default):
        value["default"] = _as_json(field.default)
    if field.replaced_by:
        value |= {"deprecationMessage": f"Write `{field.replaced_by}` instead.", "doNotSuggest": True}
    return value


def _described(text: str) -> Schema:
    """For tools that show plain text, and for those that know the keyword for Markdown."""
    return {"description": text, "markdownDescription": text}


def _value(field_type: FieldType) -> Schema:
    match field_type:
        case ListType(item, least, single):
            several = {"type": "array", "items": _item(item), "minItems": least, "maxItems": MAX_LIST_ITEMS}
            return {"anyOf": [several, _item(item), _ref("compound")] if single else [several, _ref("expression")]}
        case _:
            return _item(field_type)


def _item(field_type: FieldType) -> Schema:
    words = words_of(field_type)
    choices: list[Schema] = [{"enum": list(words)}] if words else []
    match field_type:
        case NumberType():
            choices = [_number(field_type), _ref("number"), *choices, _ref("expression")]
        case BooleanType():
            choices = [{"type": "boolean"}, *choices, _ref("expression")]
        case TextType():
            choices = [*choices, {"type": "string", "minLength": 1}]
        case TopologyType():
            choices = [_ref("topology"), _ref("expression")]
        case HardwareType():
            choices = [*choices, {"type": "string", "pattern": r"\.ya?ml$"}, _ref("compound")]
        case BlockType():
            choices = [_ref("reference"), _ref("compound")]
        case _:
            choices = [*choices, _ref("compound")]
    return {"anyOf": choices} if len(choices) > 1 else choices[0]


def _number(number: NumberType) -> Schema:
    bounds = {
        "minimum": number.minimum,
        "exclusiveMinimum": number.above,
        "maximum": number.maximum,
        "exclusiveMaximum": number.below,
    }
    limits = {name: _plain(bound) for name, bound in bounds.items() if bound is not None}
    return {"type": "integer" if number.whole else "number", **limits}


def _plain(amount: int | Fraction) -> int | float:
    return amount if isinstance(amount, int) else float(amount)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _is_constant(text: str) -> bool:
    return not set(text) & set(" .") or read_number(text) is not None


def _as_json(text: str) -> Any:
    """An example or a default as JSON has it: booleans, whole numbers and decimals as such, lists as lists, all else
    as text.
    """
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("["):
        return [_as_json(item.strip()) for item in text[1:-1].split(",") if item.strip()]
    if text.startswith('"'):
        return text[1:-1]
    digits = text.replace("_", "")
    if digits.isdigit():
        return int(digits)
    return float(text) if digits.replace(".", "", 1).isdigit() else text
