const assert = require("node:assert/strict");
const { EventEmitter } = require("node:events");
const Module = require("node:module");
const { afterEach, test } = require("node:test");

const load = Module._load;
afterEach(() => {
  Module._load = load;
});

/** The extension in a VS Code of which only what it calls is there. `log` holds what it did. */
function start({ isTrusted, command = [], click }) {
  const log = { clients: [], errors: [], copied: [], contexts: [] };
  const commands = new Map();
  const events = new EventEmitter();
  const on = (name) => (listener) => events.on(name, listener);
  class LanguageClient {
    constructor(id, name, server, options) {
      Object.assign(this, { server, options });
    }
    async start() {
      log.clients.push(this);
    }
    async dispose() {
      log.clients.splice(log.clients.indexOf(this), 1);
    }
  }
  const vscode = {
    ConfigurationTarget: { Global: 1 },
    commands: {
      registerCommand: (name, run) => commands.set(name, run),
      executeCommand: async (...call) => log.contexts.push(call),
    },
    env: { clipboard: { writeText: async (text) => log.copied.push(text) } },
    extensions: { getExtension: () => undefined },
    window: { showErrorMessage: async (message, ...buttons) => (log.errors.push(message), buttons.find((one) => one === click)) },
    workspace: {
      isTrusted,
      createFileSystemWatcher: () => ({}),
      getConfiguration: () => ({ get: (name, otherwise) => (name === "command" ? command : otherwise) }),
      onDidChangeConfiguration: on("configuration"),
      onDidGrantWorkspaceTrust: on("trust"),
    },
  };
  Module._load = (name, ...rest) => (name === "vscode" ? vscode : name.startsWith("vscode-languageclient") ? { LanguageClient } : load(name, ...rest));
  delete require.cache[require.resolve("../src/extension")];
  return { extension: require("../src/extension"), vscode, log, commands, events };
}

const NODE = [process.execPath, "-e", "", "--"]; // exits with 0 whatever is asked of it

test("a workspace that is not trusted starts nothing", async () => {
  const { extension, log } = start({ isTrusted: false, command: NODE });
  await extension.activate({ subscriptions: [] });
  assert.deepEqual([log.clients, log.errors], [[], []]);
});

test("the server is started once the workspace is trusted", async () => {
  const { extension, vscode, log, events } = start({ isTrusted: false, command: NODE });
  await extension.activate({ subscriptions: [] });
  vscode.workspace.isTrusted = true;
  await Promise.all(events.listeners("trust").map((listener) => listener()));
  assert.deepEqual(log.clients.map(({ server }) => server), [{ command: NODE[0], args: [...NODE.slice(1), "lsp"] }]);
  await extension.deactivate();
  assert.deepEqual(log.clients, []);
});

test("where there is no moec, the user is told how to get it and can copy the command", async () => {
  const { extension, log } = start({ isTrusted: true, command: ["/nowhere/moec"], click: "Copy the install command" });
  await extension.activate({ subscriptions: [] });
  await new Promise(setImmediate);
  assert.match(log.errors[0], /`moec.command` leads to no moec.*pip install "moec\[lsp\]"/);
  assert.deepEqual(log.copied, ['python3 -m pip install "moec[lsp]"']);
  assert.deepEqual(log.contexts.at(-1), ["setContext", "moec.isRunning", false]);
});

test("every command that the package names is there", async () => {
  const { extension, commands } = start({ isTrusted: false });
  await extension.activate({ subscriptions: [] });
  const named = require("../package.json").contributes.commands.map(({ command }) => command);
  assert.deepEqual([...commands.keys()].sort(), named.sort());
});
