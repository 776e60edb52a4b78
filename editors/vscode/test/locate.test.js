const assert = require("node:assert/strict");
const { test } = require("node:test");
const { candidates, choose } = require("../src/locate");
const { askForRun } = require("../src/runs");

const answering = (answers) => async (probe) => {
  const output = answers[probe[0]];
  return { ok: output === "", output: output ?? "spawn ENOENT" };
};

test("the selected interpreter comes before the PATH", async () => {
  const ways = candidates([], "/venv/bin/python");
  const { way } = await choose(ways, answering({ "/venv/bin/python": "", moec: "" }));
  assert.equal(way.command, "/venv/bin/python");
  assert.deepEqual(way.args, ["-P", "-m", "moec.cli.main", "lsp"]);
});

test("the PATH is taken where the interpreter has no moec", async () => {
  const { way } = await choose(candidates([], "/venv/bin/python"), answering({ moec: "" }));
  assert.deepEqual([way.command, ...way.args], ["moec", "lsp"]);
});

test("what the user wrote is the only way that is tried", async () => {
  const ways = candidates(["/opt moec/moec"], "/venv/bin/python");
  assert.equal(ways.length, 1);
  const { problem } = await choose(ways, answering({ "/venv/bin/python": "" }));
  assert.match(problem.message, /`moec.command` leads to no moec: spawn ENOENT/);
});

test("where moec is missing, the command that installs it names the interpreter", async () => {
  const { problem } = await choose(candidates([], "/my venv/bin/python"), answering({}));
  assert.match(problem.message, /neither in the interpreter \/my venv\/bin\/python nor the PATH/);
  assert.equal(problem.install, '"/my venv/bin/python" -m pip install "moec[lsp]"');
});

test("without an interpreter the PATH alone is blamed", async () => {
  const { problem } = await choose(candidates([], undefined), answering({}));
  assert.equal(problem.message, "moec is not on the PATH.");
});

test("a moec without its language server is told apart", async () => {
  const output = "ModuleNotFoundError: No module named 'pygls'";
  const { problem } = await choose(candidates([], "py"), answering({ py: output }));
  assert.match(problem.message, /lacks what its language server needs/);
});

test("a real interpreter is really asked", async () => {
  const { way, problem } = await choose([{ probe: [process.execPath, "-e", ""], from: "node" }]);
  assert.equal(problem, undefined);
  assert.equal(way.from, "node");
});

const lens = (command, run) => ({ command: { command, arguments: ["file:///a.moe", run] } });

test("the only run is taken, one of several is asked for, none is told", async () => {
  const pick = async (names) => names.at(-1);
  assert.equal(await askForRun([lens("moec.plan", "a"), lens("moec.compile", "a")], pick), "a");
  assert.equal(await askForRun([lens("moec.plan", "a"), lens("moec.plan", "b")], pick), "b");
  assert.equal(await askForRun([], pick), null);
  assert.equal(await askForRun([lens("moec.plan", "a"), lens("moec.plan", "b")], async () => undefined), undefined);
});
