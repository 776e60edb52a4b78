// The client of `moec lsp`: finds moec, starts the server in a trusted workspace, and offers its commands.

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");
const { candidates, choose } = require("./locate");
const { askForRun } = require("./runs");

const PYTHON_EXTENSION = "ms-python.python";

let client;
let lastStart = Promise.resolve();

async function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("moec.showPlan", () => onRun("moec.plan")),
    vscode.commands.registerCommand("moec.compileRun", () => onRun("moec.compile")),
    vscode.commands.registerCommand("moec.toggleNumbers", toggleNumbers),
    vscode.commands.registerCommand("moec.restart", restart),
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration("moec.command") && restart()),
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration("moec.showNumbers") && askAgain()),
    vscode.workspace.onDidGrantWorkspaceTrust(restart),
  );
  const python = await pythonApi();
  const changes = python?.environments.onDidChangeActiveEnvironmentPath(restart);
  if (changes) context.subscriptions.push(changes);
  await restart();
}

async function deactivate() {
  await client?.dispose();
  client = undefined;
}

/** One start after the other: two at once, as when trust is given and settings with it, would end each other's server. */
function restart() {
  lastStart = lastStart.then(startAnew, startAnew);
  return lastStart;
}

async function startAnew() {
  await deactivate();
  if (!vscode.workspace.isTrusted) return;
  const configured = vscode.workspace.getConfiguration("moec").get("command", []);
  const { way, problem } = await choose(candidates(configured, await interpreter()));
  await vscode.commands.executeCommand("setContext", "moec.isRunning", Boolean(way));
  if (problem) {
    tell(problem);
    return;
  }
  client = new LanguageClient("moec", "moec", { command: way.command, args: way.args }, clientOptions());
  await client.start();
}

function clientOptions() {
  return {
    documentSelector: [{ language: "moe" }, { language: "yaml", pattern: "**/*.moe.yaml" }],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.{moe,yaml,yml}") },
    middleware: {
      provideInlayHints: (document, range, token, next) => (showsNumbers() ? next(document, range, token) : []),
      provideCodeLenses: (document, token, next) => (showsNumbers() ? next(document, token) : []),
      window: { showDocument },
    },
  };
}

/** Plans and changes are Markdown tables: they are shown as a reader wants them, not as they are written. */
async function showDocument(params, next) {
  if (params.external || !params.uri.endsWith(".md")) return next(params);
  await vscode.commands.executeCommand("markdown.showPreview", vscode.Uri.parse(params.uri));
  return { success: true };
}

async function tell({ message, install }) {
  const [copy, choosePython, settings] = ["Copy the install command", "Select interpreter", "Settings"];
  const buttons = (await pythonApi()) ? [copy, choosePython, settings] : [copy, settings];
  const picked = await vscode.window.showErrorMessage(`${message} Install it with: ${install}`, ...buttons);
  if (picked === copy) await vscode.env.clipboard.writeText(install);
  if (picked === choosePython) await vscode.commands.executeCommand("python.setInterpreter");
  if (picked === settings) await vscode.commands.executeCommand("workbench.action.openSettings", "moec.command");
}

async function pythonApi() {
  const extension = vscode.extensions.getExtension(PYTHON_EXTENSION);
  return extension && (extension.isActive ? extension.exports : await extension.activate());
}

/** The path of the interpreter that is selected for the workspace, if there is one. */
async function interpreter() {
  const environments = (await pythonApi())?.environments;
  if (!environments) return undefined;
  const chosen = await environments.resolveEnvironment(environments.getActiveEnvironmentPath());
  return chosen?.executable.uri?.fsPath;
}

async function onRun(command) {
  const editor = vscode.window.activeTextEditor;
  if (!editor || !client) return;
  const uri = editor.document.uri.toString();
  const lenses = (await client.sendRequest("textDocument/codeLens", { textDocument: { uri } })) ?? [];
  const run = await askForRun(lenses, (names) => vscode.window.showQuickPick(names, { placeHolder: "Which run?" }));
  if (run === undefined) return;
  if (run === null) {
    vscode.window.showInformationMessage("No run of this spec has a plan yet.");
    return;
  }
  await client.sendRequest("workspace/executeCommand", { command, arguments: [uri, run] });
}

function showsNumbers() {
  return vscode.workspace.getConfiguration("moec").get("showNumbers", true);
}

async function toggleNumbers() {
  const target = vscode.ConfigurationTarget.Global;
  await vscode.workspace.getConfiguration("moec").update("showNumbers", !showsNumbers(), target);
}

/** Has VS Code ask for the numbers of every open spec again. */
function askAgain() {
  for (const document of vscode.workspace.textDocuments) {
    client?.getFeature("textDocument/inlayHint").getProvider(document)?.onDidChangeInlayHints.fire();
    client?.getFeature("textDocument/codeLens").getProvider(document)?.onDidChangeCodeLensEmitter.fire();
  }
}

module.exports = { activate, deactivate };
