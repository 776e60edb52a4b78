// The text on the left: a textarea, its colours behind it, line numbers beside it, and waves under what is wrong.

import { colours } from "./colours.js";

const INDENT = "  ";

export class Editor {
  constructor({ textarea, behind, numbers }, onChange) {
    this.textarea = textarea;
    this.behind = behind;
    this.numbers = numbers;
    this.onChange = onChange;
    this.isMoe = true;
    this.marks = [];
    textarea.addEventListener("input", () => this.changed());
    textarea.addEventListener("keydown", (event) => this.key(event));
    textarea.addEventListener("scroll", () => this.follow());
  }

  get text() {
    return this.textarea.value;
  }

  open(text, isMoe) {
    this.isMoe = isMoe;
    this.textarea.value = text;
    this.changed();
  }

  changed() {
    this.marks = [];
    this.draw();
    this.onChange();
  }

  /** Puts a wave under each of `diagnostics`, whose places count from 1, columns in code points. */
  mark(diagnostics) {
    const lines = this.text.split(/\r\n|\r|\n/);
    this.marks = diagnostics.map(({ start, end, severity }) => {
      const from = offsetOf(this.text, lines, start);
      return [from, Math.max(from + 1, offsetOf(this.text, lines, end)), severity];
    });
    this.draw();
  }

  select(start, end) {
    const lines = this.text.split(/\r\n|\r|\n/);
    this.textarea.focus();
    this.textarea.setSelectionRange(offsetOf(this.text, lines, start), offsetOf(this.text, lines, end));
    const height = parseFloat(getComputedStyle(this.textarea).lineHeight);
    this.textarea.scrollTop = Math.max(0, (start.line - 1) * height - this.textarea.clientHeight / 3);
  }

  replace(start, end, replacement) {
    this.select(start, end);
    this.type(replacement);
  }

  /** Puts `text` where the selection is, so that the browser can take it back. */
  type(text) {
    this.textarea.focus();
    if (document.execCommand(text ? "insertText" : "delete", false, text)) return;
    this.textarea.setRangeText(text, this.textarea.selectionStart, this.textarea.selectionEnd, "end");
    this.changed();
  }

  key(event) {
    const { selectionStart: at, selectionEnd: end } = this.textarea;
    const modified = event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
    let typed = null;
    if (event.key === "Tab" && !event.shiftKey && !modified && at === end) typed = INDENT;
    if (event.key === "Enter" && !modified) typed = "\n" + indentAfter(this.text.slice(0, at));
    if (typed === null) return;
    event.preventDefault();
    this.type(typed);
  }

  draw() {
    const text = this.text;
    this.behind.replaceChildren(...pieces(text, this.isMoe ? colours(text) : [], this.marks), "\n");
    const lines = text.split(/\r\n|\r|\n/).length;
    this.numbers.textContent = Array.from({ length: lines }, (_, index) => index + 1).join("\n");
    this.follow();
  }

  follow() {
    this.behind.style.transform = `translate(${-this.textarea.scrollLeft}px, ${-this.textarea.scrollTop}px)`;
    this.numbers.style.transform = `translateY(${-this.textarea.scrollTop}px)`;
  }
}

/** Spans that cover `text`, cut wherever a colour or a wave begins or ends. */
function pieces(text, coloured, marks) {
  const cuts = new Set([0, text.length, ...coloured.flatMap(([a, b]) => [a, b]), ...marks.flatMap(([a, b]) => [a, b])]);
  const edges = [...cuts].filter((edge) => edge <= text.length).sort((a, b) => a - b);
  let next = 0;
  return edges.slice(0, -1).map((start, index) => {
    while (next < coloured.length && coloured[next][1] <= start) next += 1;
    const colour = next < coloured.length && coloured[next][0] <= start ? coloured[next][2] : "";
    const wave = marks.filter(([from, to]) => from <= start && start < to).map(([, , severity]) => severity);
    const span = document.createElement("span");
    span.className = [colour, wave.includes("error") ? "error" : wave[0]].filter(Boolean).join(" ");
    span.textContent = text.slice(start, edges[index + 1]);
    return span;
  });
}

function offsetOf(text, lines, { line, column }) {
  let offset = 0;
  for (let index = 0; index < line - 1 && index < lines.length; index += 1) {
    offset += lines[index].length;
    offset += text.startsWith("\r\n", offset) ? 2 : 1;
  }
  const points = Array.from(lines[line - 1] ?? "").slice(0, column - 1);
  return Math.min(text.length, offset + points.join("").length);
}

function indentAfter(before) {
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const indent = /^[ \t]*/.exec(line)[0];
  return /[{[(]\s*$/.test(line) ? indent + INDENT : indent;
}
