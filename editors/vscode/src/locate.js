// How to call moec: what the user wrote, else the selected Python interpreter, else the PATH.

const { execFile } = require("node:child_process");

const PROBE_MILLISECONDS = 20_000;

/**
 * The ways to call moec, best first. Each has `command` and `args` of the language server, a `probe` that exits with 0
 * where the way is good, and `from`, which says where it comes from.
 *
 * `-P` keeps the current folder off Python's path: no file of a workspace is taken for a module of moec.
 */
function candidates(configured, interpreter) {
  if (configured.length) return [onPath(configured, "the setting `moec.command`")];
  const found = [];
  if (interpreter) {
    found.push({
      command: interpreter,
      args: ["-P", "-m", "moec.cli.main", "lsp"],
      probe: [interpreter, "-P", "-c", "import moec.lsp.server"],
      from: `the interpreter ${interpreter}`,
      interpreter,
    });
  }
  return [...found, onPath(["moec"], "the PATH")];
}

function onPath([command, ...more], from) {
  return { command, args: [...more, "lsp"], probe: [command, ...more, "lsp", "--help"], from };
}

/** The first of `ways` that works, or what to tell the user: `{ way }` or `{ problem }`. */
async function choose(ways, run = execute) {
  const failures = [];
  for (const way of ways) {
    const { ok, output } = await run(way.probe);
    if (ok) return { way };
    failures.push({ way, output });
  }
  return { problem: explain(failures) };
}

/** `{ message, install }`: what is missing, and the command that mends it. */
function explain(failures) {
  const { way, output } = failures[0];
  const python = way.interpreter ?? "python3";
  const install = `${quoted(python)} -m pip install "moec[lsp]"`;
  if (/No module named '(pygls|lsprotocol)/.test(output)) {
    return { message: `moec in ${way.from} lacks what its language server needs.`, install };
  }
  if (!way.interpreter && way.from !== "the PATH") {
    return { message: `${way.from} leads to no moec: ${lastLine(output)}`, install };
  }
  const places = failures.map((failure) => failure.way.from).join(" nor ");
  return { message: `moec is neither in ${places}.`.replace("neither in the PATH", "not on the PATH"), install };
}

function lastLine(output) {
  return output.trim().split("\n").at(-1) || "it does not answer";
}

function quoted(path) {
  return /\s/.test(path) ? `"${path}"` : path;
}

function execute([command, ...args]) {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: PROBE_MILLISECONDS, windowsHide: true }, (error, out, err) => {
      resolve({ ok: !error, output: `${out}${err}${error?.message ?? ""}` });
    });
  });
}

module.exports = { candidates, choose, explain };
