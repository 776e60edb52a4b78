// Text -> coloured stretches: [start, end, kind], in order, for the .moe form.
// Kinds: comment doc string number keyword boolean block field mark. Words that are none of these stay as they are.

const KEYWORDS = new Set(["let", "use", "as", "extends", "assert", "if", "else", "and", "or", "not"]);
const BOOLEANS = new Set(["true", "false"]);
const TOKEN = new RegExp(
  [
    String.raw`(?<doc>\/\/\/[^\r\n]*)`,
    String.raw`(?<comment>#[^\r\n]*)`,
    String.raw`(?<string>"(?:[^"\\\r\n]|\\[^\r\n])*"?)`,
    String.raw`(?<number>[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9][0-9_]*(?!\w))?(?:(?:[kMGTP]B|[KMGTP]iB|[GTPEZ]?FLOP)\/s(?!\w)|\w*))`,
    String.raw`(?<word>[A-Za-z_]\w*)`,
    String.raw`(?<mark>==|!=|<=|>=|\/\/|[=<>+\-*\/%])`,
  ].join("|"),
  "g",
);
const OPENS_BLOCK = /^[ \t]*(?:[A-Za-z_]\w*[ \t]*)?(?:extends[ \t]+[\w.]+[ \t]*)?\{/;
const SETS_FIELD = /^[ \t]*=(?!=)/;

export function colours(text) {
  const found = [];
  let before = "";
  for (const match of text.matchAll(TOKEN)) {
    const kind = kindOf(match, text, before);
    if (kind) found.push([match.index, match.index + match[0].length, kind]);
    before = match[0];
  }
  return found;
}

function kindOf(match, text, before) {
  const { word, ...rest } = match.groups;
  if (word === undefined) return Object.keys(rest).find((name) => rest[name] !== undefined);
  if (KEYWORDS.has(word)) return "keyword";
  if (BOOLEANS.has(word)) return "boolean";
  const after = text.slice(match.index + word.length, match.index + word.length + 200);
  if (SETS_FIELD.test(after) && before !== "let") return "field";
  return OPENS_BLOCK.test(after) && isFirstWord(text, match.index) ? "block" : null;
}

function isFirstWord(text, index) {
  return /(?:^|[\r\n{,}])[ \t]*$/.test(text.slice(Math.max(0, index - 200), index));
}
