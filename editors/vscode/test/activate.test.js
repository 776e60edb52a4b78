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
  const log = { clients: [], errors: [], copied: [], contexts: [], asked: [], atOnce: 0 };
  let starting = 0;
  const commands = new Map();
  const events = new EventEmitter();
  const on = (name) => (listener) => events.on(name, listener);
  class LanguageClient {
    constructor(id, name, server, options) {
      Object.assign(this, { server, options });
    }
    async start() {
      log.atOnce = Math.max(log.atOnce, ++starting);
      await new Promise(setImmediate);
      starting -= 1;
      log.clients.push(this);
    }
    getFeature(name) {
      const fire = () => log.asked.push(name);
      return { getProvider: () => ({ onDidChangeInlayHints: { fire }, onDidChangeCodeLensEmitter: { fire } }) };
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
    Uri: { parse: (text) => text },
    env: { clipboard: { writeText: async (text) => log.copied.push(text) } },
    extensions: { getExtension: () => undefined },
    window: { showErrorMessage: async (message, ...buttons) => (log.errors.push(message), buttons.find((one) => one === click)) },
    workspace: {
      isTrusted,
      textDocuments: ["spec.moe"],
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

test("a plan is shown as a page, a program as text", async () => {
  const { extension, log } = start({ isTrusted: true, command: NODE });
  await extension.activate({ subscriptions: [] });
  const { showDocument } = log.clients[0].options.middleware.window;
  const byVSCode = async ({ uri }) => ({ success: uri === "file:///pages/program.py" });
  assert.deepEqual(await showDocument({ uri: "file:///pages/base.plan.md" }, () => assert.fail()), { success: true });
  assert.deepEqual(log.contexts.at(-1), ["markdown.showPreview", "file:///pages/base.plan.md"]);
  assert.deepEqual(await showDocument({ uri: "file:///pages/program.py" }, byVSCode), { success: true });
  await extension.deactivate();
});

test("turning the numbers off has them asked for again, by the server that runs", async () => {
  const { extension, log, events } = start({ isTrusted: true, command: NODE });
  await extension.activate({ subscriptions: [] });
  const before = [...log.clients];
  const event = { affectsConfiguration: (name) => name === "moec.showNumbers" };
  await Promise.all(events.listeners("configuration").map((listener) => listener(event)));
  assert.deepEqual(log.asked, ["textDocument/inlayHint", "textDocument/codeLens"]);
  assert.deepEqual(log.clients, before);
  await extension.deactivate();
});

test("trust and the settings that come with it start one server after the other", async () => {
  const { extension, vscode, log, events } = start({ isTrusted: false, command: NODE });
  await extension.activate({ subscriptions: [] });
  vscode.workspace.isTrusted = true;
  const event = { affectsConfiguration: (name) => name === "moec.command" };
  await Promise.all(["configuration", "trust"].flatMap((name) => events.listeners(name).map((listener) => listener(event))));
  assert.equal(log.atOnce, 1);
  assert.equal(log.clients.length, 1);
  await extension.deactivate();
});
