// An answer of the compiler -> what is on the right, and the list of diagnostics. Text goes in as text, never as markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// ---- diagnostics ----

export function diagnosticList(diagnostics, editor) {
  if (!diagnostics.length) return [element("li", { class: "fine" }, "no mistakes")];
  return diagnostics.map((one) => diagnosticItem(one, editor));
}

function diagnosticItem(one, editor) {
  const show = () => editor.select(one.start, one.end);
  const place = element("button", { class: "place", onclick: show }, `${one.start.line}:${one.start.column}`);
  const head = element("p", {}, element("b", { class: one.severity }, `${one.severity} ${one.code}`), " ", ...coded(one.message), " ", place);
  const notes = [...one.notes.map((text) => ["note", text]), ...one.help.map((text) => ["help", text])];
  const below = notes.map(([kind, text]) => element("p", { class: "note" }, element("i", {}, `${kind}: `), ...coded(text)));
  const fixes = one.fixes.map((fix) => {
    const apply = () => editor.replace(fix.start, fix.end, fix.replacement);
    return element("button", { class: "fix", onclick: apply }, "✓ ", ...coded(fix.title));
  });
  return element("li", { class: one.severity }, head, ...below, ...fixes);
}

/** `text` with what stands between backticks set as code. */
function coded(text) {
  if (!text) return [];
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

// ---- the plan ----

export function planView(plan, editor) {
  const [first, ...rest] = [plan.report.title, ...plan.report.summary];
  const head = element("div", { class: "summary" }, element("h2", {}, first), ...rest.map((line) => element("p", {}, line)));
  return [head, ...plan.report.sections.map((section) => sectionView(section, editor))];
}

function sectionView(section, editor) {
  return element("section", {}, element("h3", {}, section.title), ...section.parts.map((part) => partView(part, editor)));
}

function partView(part, editor) {
  if (part.kind === "table") return tableView(part.columns, part.rows, part.total);
  if (part.kind === "facts") return factsView(part.facts, editor);
  if (part.kind === "bars") return barsView(part.bars);
  return element("p", {}, ...coded(part.text));
}

function tableView(columns, rows, total) {
  const cell = (name) => (text, index) => {
    const content = columns[index].is_code && text ? element("code", {}, text) : text;
    return element(name, { class: columns[index].align }, content);
  };
  const head = element("tr", {}, ...columns.map((column, index) => element("th", { class: columns[index].align }, column.title)));
  const body = rows.map((row) =>
    row.length === 1
      ? element("tr", { class: "heading" }, element("td", { colspan: columns.length }, row[0]))
      : element("tr", {}, ...row.map(cell("td"))),
  );
  const foot = total.length ? [element("tr", { class: "total" }, ...total.map(cell("td")))] : [];
  return element("div", { class: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body, ...foot)));
}

function factsView(facts, editor) {
  const rows = facts.map((fact) => {
    const from = [coded(fact.source), placeOf(fact.place, editor)].filter((one) => one.length);
    const why = element("div", { class: "why" });
    if (fact.formula) why.append(element("code", {}, `= ${fact.formula}`));
    if (from.length) why.append(element("span", { class: "source" }, ...from.flatMap((one, index) => (index ? [" · ", ...one] : one))));
    return element("div", { class: "fact" }, element("code", { class: "name" }, fact.name), element("b", {}, fact.value), why);
  });
  return element("div", { class: "facts" }, ...rows);
}

/** `spec.moe:12:5` as a button that leads there. */
function placeOf(place, editor) {
  const found = /^(.*):(\d+):(\d+)$/.exec(place);
  if (!found) return place ? [place] : [];
  const spot = { line: Number(found[2]), column: Number(found[3]) };
  const lineEnd = { line: spot.line, column: 1e6 };
  return [element("button", { class: "place", onclick: () => editor.select(spot, lineEnd) }, `line ${spot.line}`)];
}

function barsView(bars) {
  const rows = bars.map((bar) => {
    const meter = element("meter", { min: 0, max: 1, value: Math.min(1, bar.share), high: 0.9 });
    return element("tr", {}, element("td", {}, bar.label), element("td", { class: "right" }, bar.value), element("td", {}, meter), element("td", {}, bar.note));
  });
  return element("table", { class: "bars" }, element("tbody", {}, ...rows));
}

// ---- sharded shapes ----

export function shapesView(plan) {
  return [
    element("h3", {}, "Weights"),
    arraysView(plan.weights, true),
    element("h3", {}, "Activations of one micro-batch"),
    arraysView(plan.activations, false),
    element("p", { class: "source" }, "[E/expert, D, F]: dim E is cut over the mesh axis expert. Sizes in bold are smaller on one device than over all."),
  ];
}

function arraysView(arrays, withLayers) {
  const titles = ["array", "dims / axes", "shape", "per device", "dtype", ...(withLayers ? ["layers"] : [])];
  const rows = arrays.map((one) => {
    const local = one.per_device.flatMap((size, index) => [index ? " × " : "", one.cut[index] ? element("b", {}, String(size)) : String(size)]);
    const cells = [element("code", {}, one.name), element("code", {}, one.dims), one.shape.join(" × "), element("span", {}, ...local), one.dtype];
    return element("tr", {}, ...[...cells, ...(withLayers ? [one.layers] : [])].map((content) => element("td", {}, content)));
  });
  const head = element("tr", {}, ...titles.map((title) => element("th", {}, title)));
  return element("div", { class: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

// ---- the program ----

const PYTHON = /(?<comment>#[^\n]*)|(?<string>"""[\s\S]*?"""|"(?:[^"\\\n]|\\.)*")|(?<keyword>\b(?:from|import|def|class|return|if|elif|else|for|in|not|and|or|is|with|as|lambda|assert|raise|pass)\b)|(?<boolean>\b(?:True|False|None)\b)|(?<number>\b\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?\b)/g;

export function programView(plan) {
  const copy = element("button", { class: "copy", onclick: () => navigator.clipboard.writeText(plan.program) }, "copy");
  const code = element("pre", { class: "program" });
  let last = 0;
  for (const match of plan.program.matchAll(PYTHON)) {
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    code.append(plan.program.slice(last, match.index), element("span", { class: kind }, match[0]));
    last = match.index + match[0].length;
  }
  code.append(plan.program.slice(last));
  return [copy, code];
}
