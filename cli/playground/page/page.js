// Ties the editor to the compiler: a change asks, after a short pause, and one question is under way at a time.

import { Editor } from "./editor.js";
import { diagnosticList, element, planView, programView, shapesView } from "./view.js";

const PAUSE_MILLISECONDS = 120;
const at = (id) => document.getElementById(id);

let form = "moe";
let tab = "plan";
let plan = null;
let timer = 0;
let isAsking = false;
let isStale = false;

const editor = new Editor({ textarea: at("text"), behind: at("colours"), numbers: at("numbers") }, () => {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MILLISECONDS);
});

async function ask() {
  if (isAsking) {
    isStale = true;
    return;
  }
  isAsking = true;
  isStale = false;
  const text = editor.text;
  const began = performance.now();
  const answer = await send({ text, form, run: at("runs").value || null });
  isAsking = false;
  if (text === editor.text) show(answer, performance.now() - began);
  if (isStale || text !== editor.text) ask();
}

async function send(question) {
  try {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch("answer", { method: "POST", headers, body: JSON.stringify(question) });
    return await response.json();
  } catch {
    return { fault: "the playground has ended: start `moec playground` again" };
  }
}

function show(answer, milliseconds) {
  document.body.classList.toggle("fault", Boolean(answer.fault));
  if (answer.fault) {
    at("state").textContent = answer.fault;
    return;
  }
  editor.mark(answer.diagnostics);
  at("diagnostics").replaceChildren(...diagnosticList(answer.diagnostics, editor));
  showRuns(answer.runs, answer.plan?.run);
  plan = answer.plan ?? plan;
  document.body.classList.toggle("stale", !answer.plan);
  showPlan();
  at("state").textContent = `${told(answer.diagnostics)} · ${Math.round(milliseconds)} ms`;
}

function told(diagnostics) {
  const errors = diagnostics.filter(({ severity }) => severity === "error").length;
  const warnings = diagnostics.length - errors;
  const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  return diagnostics.length ? [errors && count(errors, "error"), warnings && count(warnings, "warning")].filter(Boolean).join(", ") : "no mistakes";
}

function showRuns(runs, chosen) {
  if (!runs.length) return;
  const select = at("runs");
  const wanted = chosen ?? select.value;
  select.replaceChildren(...runs.map((name) => element("option", { value: name }, name)));
  if (runs.includes(wanted)) select.value = wanted;
}

function showPlan() {
  const views = { plan: planView, shapes: shapesView, program: programView };
  const nothing = [element("p", { class: "nothing" }, "No run of the spec has a plan yet.")];
  const panel = at("shown");
  const scroll = panel.scrollTop;
  panel.replaceChildren(...(plan ? views[tab](plan, editor) : nothing));
  panel.scrollTop = scroll;
}

at("runs").addEventListener("change", ask);
at("tabs").addEventListener("click", ({ target }) => {
  if (!target.dataset.tab) return;
  tab = target.dataset.tab;
  for (const button of at("tabs").children) button.setAttribute("aria-selected", String(button === target));
  at("shown").scrollTop = 0;
  showPlan();
});

const opened = await (await fetch("spec")).json();
form = /\.ya?ml$/.test(opened.name) ? "yaml" : "moe";
editor.open(opened.text, form === "moe");
