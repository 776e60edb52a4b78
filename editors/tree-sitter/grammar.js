/// <reference types="tree-sitter-cli/dsl" />
// The syntax of `.moe`, edition 2026, for editors: what `spec/grammar.lark` takes, and a little more: line ends are
// white space here, and commas may be left out. Colours need no more.

const BINDS = { conditional: 1, or: 2, and: 3, not: 4, compare: 5, sum: 6, product: 7, sign: 8 };

module.exports = grammar({
  name: "moe",

  word: ($) => $.name,

  extras: ($) => [/[\s\uFEFF]/, $.doc_comment, $.comment],

  supertypes: ($) => [$.item, $.expression],

  rules: {
    file: ($) => items($),

    item: ($) => choice($.use, $.let, $.assert, $.field, $.block),

    use: ($) => seq("use", field("path", $.string), "as", field("alias", $.name)),

    let: ($) => seq("let", field("name", $.name), "=", field("value", $.expression)),

    assert: ($) => seq("assert", field("condition", $.expression), optional(seq(":", field("why", $.string)))),

    field: ($) => seq(field("name", $.name), "=", field("value", $.expression)),

    block: ($) =>
      seq(
        field("kind", $.name),
        optional(field("label", $.name)),
        optional(seq("extends", field("base", alias($.reference, $.base)))),
        field("body", $.body),
      ),

    body: ($) => seq("{", items($), "}"),

    expression: ($) =>
      choice($.conditional, $.binary, $.unary, $.call, $.list, $.group, $.reference, $.string, $.number, $.topology, $.boolean),

    conditional: ($) =>
      prec.right(
        BINDS.conditional,
        seq(field("then", $.expression), "if", field("condition", $.expression), "else", field("otherwise", $.expression)),
      ),

    binary: ($) =>
      choice(
        ...[
          [BINDS.or, "or"],
          [BINDS.and, "and"],
          [BINDS.compare, choice("==", "!=", "<", "<=", ">", ">=")],
          [BINDS.sum, choice("+", "-")],
          [BINDS.product, choice("*", "/", "//", "%")],
        ].map(([level, operator]) =>
          prec.left(level, seq(field("left", $.expression), field("operator", operator), field("right", $.expression))),
        ),
      ),

    unary: ($) =>
      choice(
        prec(BINDS.not, seq(field("operator", "not"), field("operand", $.expression))),
        prec(BINDS.sign, seq(field("operator", choice("+", "-")), field("operand", $.expression))),
      ),

    call: ($) => seq(field("function", $.name), "(", several($), ")"),

    list: ($) => seq("[", several($), "]"),

    group: ($) => seq("(", $.expression, ")"),

    reference: ($) => seq($.name, repeat(seq(".", $.name))),

    boolean: (_) => choice("true", "false"),

    number: (_) =>
      token(
        seq(
          /[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9][0-9_]*)?/,
          optional(choice(/([kMGTP]B|[KMGTP]iB|[GTPEZ]?FLOP)\/s/, /[A-Za-z_]\w*/)),
        ),
      ),

    topology: (_) => token(prec(1, /[0-9]{1,6}(x[0-9]{1,6}){1,7}/)),

    string: ($) => seq('"', repeat(choice($.escape, token.immediate(prec(2, /[^"\\\r\n]+/)))), token.immediate('"')),

    escape: (_) => token.immediate(/\\(u\{[0-9a-fA-F]{1,6}\}|[^\r\n])/),

    name: (_) => /[\p{XID_Start}_]\p{XID_Continue}*/u,

    doc_comment: (_) => token(prec(1, /\/\/\/[^\r\n]*/)),

    comment: (_) => /#[^\r\n]*/,
  },
});

/** Statements with commas between them, or behind, or none. */
function items($) {
  return repeat(seq($.item, optional(",")));
}

/** Values with commas between them, and perhaps behind the last. */
function several($) {
  return optional(seq($.expression, repeat(seq(",", $.expression)), optional(",")));
}
