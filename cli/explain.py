"""`moec explain`: the page of a code, a field, a block or a law."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.laws.law import Law
    from moec.spec.fields.info import BlockInfo, FieldInfo


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "topic",
        metavar="TOPIC",
        nargs="?",
        help="a code, a field, a block, `law` or the name of a law; nothing lists them all",
    )


def _run(arguments: Namespace) -> int:
    print(explanation(arguments.topic).rstrip("\n") if arguments.topic else _topics())
    return OK


def explanation(topic: str) -> str:
    """The text on `topic`. Failure: there is none."""
    from moec.compiler.laws.registry import LAWS
    from moec.spec.codes.registry import CODES
    from moec.spec.fields.table import find

    if topic.upper() in CODES:
        return _code_page(topic.upper())
    if topic in LAWS:
        return _law_text(LAWS[topic])
    paths = find(topic)
    parts = [_path_text(path) for path in paths]
    if topic.rpartition(".")[2] == "law":
        parts += [_law_text(law) for law in LAWS.values()]
    if not parts:
        raise Failure(_unknown(topic))
    return "\n\n".join(parts)


def _code_page(code: str) -> str:
    from importlib.resources import files

    return (files("moec.docs") / "errors" / f"{code}.md").read_text(encoding="utf-8")


def _path_text(path: str) -> str:
    from moec.spec.fields.table import block_info, field_info

    info = field_info(path)
    block = block_info(path)
    if info is not None:
        return _field_text(path, info)
    if block is not None:
        return _block_text(block)
    raise AssertionError(f"the fields table lists {path} and does not have it")


def _field_text(path: str, info: FieldInfo) -> str:
    from moec.spec.fields.types import type_name

    facts = [("takes", type_name(info.type) + (f" ({info.unit})" if info.unit else "")), ("default", _default(info))]
    if info.only_when is not None:
        facts.append(("counts", _when(info)))
    facts += [("example", f"{info.name} = {info.example}"), ("since", f"edition {info.since}")]
    if info.replaced_by:
        facts.append(("deprecated", f"write {info.replaced_by}"))
    lines = (f"  {name:<10}  {fact}" for name, fact in facts)
    return "\n".join((path, "", _wrapped(info.doc), "", *lines))


def _default(info: FieldInfo) -> str:
    if info.default is not None:
        return info.default
    if info.required:
        return f"none: it must be written, unless `{info.unless}` is" if info.unless else "none: it must be written"
    return f"none: {info.absent}" if info.absent else "none"


def _when(info: FieldInfo) -> str:
    when = info.only_when
    if when is None:
        return "always"
    if when.words:
        return f"only when {when.field} is {' or '.join(when.words)}"
    return (
        f"only when {when.field} is not {' or '.join(when.not_words)}"
        if when.not_words
        else f"only when {when.field} is written"
    )


def _block_text(block: BlockInfo) -> str:
    width = max((len(info.name) for info in block.fields), default=0)
    fields = [f"  {info.name:<{width}}  {_first_sentence(info.doc)}" for info in block.fields]
    inside = [f"  {inner.name} {{ … }}  {_first_sentence(inner.doc)}" for inner in block.blocks]
    rules = [f"Exactly one of {', '.join(block.exactly_one)} is written."] if block.exactly_one else []
    return "\n".join((block.path, "", _wrapped(block.doc), *rules, "", *fields, *inside))


def _law_text(law: Law) -> str:
    fitted = law.fitted
    rows = [
        ("form", law.form),
        (
            "coefficients",
            ", ".join(f"{name} {value:.7g}" for name, value in law.coefficients.items()) or "none published",
        ),
        ("read in", f"{_PROVENANCE[law.provenance]}: {law.reading}"),
        ("N", f"{law.n_means}; count = {' | '.join(law.counts)}"),
        ("logarithms", {"none": "none", "e": "natural", "10": "base 10"}[law.log_base]),
        ("FLOPs", law.flop_rule),
        ("fitted on", fitted.routing),
        ("parameters", _range(*fitted.n_params)),
        ("tokens", _range(*fitted.n_tokens)),
        ("experts", _range(*fitted.n_experts)),
        ("error", f"{law.rmse:.2g} nats: smaller differences are ties" if law.rmse else "not stated"),
        ("source", law.source),
        *(("note", note) for note in law.notes),
    ]
    return "\n".join((f"law = {law.name}: {law.title}", "", *(_law_row(name, text) for name, text in rows)))


_PROVENANCE = {
    "primary": "the paper or its data",
    "secondary": "notes on the paper, not the paper itself",
    "memory": "no source that could be looked up in part",
}


def _law_row(name: str, text: str) -> str:
    import textwrap

    return textwrap.fill(text, 100, initial_indent=f"  {name:<12}  ", subsequent_indent=" " * 16)


def _range(low: float, high: float) -> str:
    """`44 M to 16 B`, or what is known of it."""
    from math import inf

    from moec.compiler.units import count

    if high == inf:
        return "no range is stated" if low <= 1 else f"from {count(low)}"
    if low == high:
        return f"{count(high)} only"
    return f"up to {count(high)}" if low <= 1 else f"{count(low)} to {count(high)}"


def _topics() -> str:
    from moec.compiler.laws.registry import LAWS
    from moec.spec.codes.registry import CODES
    from moec.spec.fields.table import all_blocks

    blocks = (f"  {block.path:<18} {_first_sentence(block.doc)}" for block in all_blocks())
    codes = (f"  {info.code}  {info.severity:<8} {info.title}" for info in CODES.values())
    return "\n".join(("blocks", *blocks, "", "laws", f"  {' '.join(LAWS)}", "", "codes", *codes))


def _unknown(topic: str) -> str:
    from moec.compiler.laws.registry import LAWS
    from moec.spec.codes.registry import CODES
    from moec.spec.fields.table import all_blocks, all_fields
    from moec.spec.near import nearest

    blocks = (block.name for block in all_blocks())
    fields = (info.name for _, info in all_fields())
    near = nearest(topic, {*CODES, *LAWS, *blocks, *fields, "law"})
    meant = f"; did you mean `moec explain {near}`?" if near else ""
    return f"nothing is called `{topic}`{meant} (`moec explain` lists what there is)"


def _first_sentence(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return head + stop.strip()


def _wrapped(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 100)


COMMAND = Command(
    "explain",
    "tell about an error code, a field, a block or a scaling law",
    ("moec explain MOE1001", "moec explain capacity_factor", "moec explain law", "moec explain   # all there is"),
    _add_arguments,
    _run,
)
