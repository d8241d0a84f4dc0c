import * as vscode from "vscode";
import { LanguageClient, RevealOutputChannelOn, type DocumentSelector } from "vscode-languageclient/node";

import { locate, version } from "./locate";

/** By name and not by language: a requirements file is plain text without the Python extension. */
const FILES: DocumentSelector & vscode.DocumentSelector = [
  { scheme: "file", pattern: "**/flow.{dag,flex}.{yaml,yml}" },
  { scheme: "file", pattern: "**/flow.{dag,flex}.*.{yaml,yml}" },
  { scheme: "file", pattern: "**/*requirements*.txt" },
  { scheme: "file", pattern: "**/*.prompty" },
  { scheme: "file", pattern: "**/{run,run_*,run-*,*_run,*-run,*_run_*,*connection*}.{yaml,yml}" },
  { scheme: "file", pattern: "**/connections/**/*.{yaml,yml}" },
];

/** Files of flows. Only the server knows of which: they are served where a flow is in the workspace. */
const PARTS = [{ scheme: "file", pattern: "**/*.{py,jinja2,jinja,j2}" }];
const FLOWS = "**/flow.{dag,flex}*.{yaml,yml}";

let output: vscode.LogOutputChannel;
let client: LanguageClient | undefined;
/** Starts and stops, one after the other: a restart works also while a start is under way. */
let last: Promise<void> = Promise.resolve();

export function activate(context: vscode.ExtensionContext): void {
  output = vscode.window.createOutputChannel("flowgate", { log: true });
  context.subscriptions.push(
    output,
    vscode.commands.registerCommand("flowgate.restart", () => inTurn(restart)),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("flowgate.path") && wanted()) {
        void inTurn(restart);
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      if (wanted()) {
        void inTurn(restart);
      }
    }),
  );
  if (wanted()) {
    void inTurn(start);
    return;
  }
  // Any YAML file wakes the extension; the server waits for one of its own.
  const opened = vscode.workspace.onDidOpenTextDocument((document) => {
    if (isOurs(document)) {
      opened.dispose();
      void inTurn(start);
    }
  });
  context.subscriptions.push(opened);
  void vscode.workspace.findFiles(FLOWS, undefined, 1).then((flows) => {
    if (flows.length > 0) {
      opened.dispose();
      void inTurn(start);
    }
  });
}

export function deactivate(): Promise<void> {
  return inTurn(stop);
}

function isOurs(document: vscode.TextDocument): boolean {
  return vscode.languages.match(FILES, document) > 0;
}

function wanted(): boolean {
  return client !== undefined || vscode.workspace.textDocuments.some(isOurs);
}

function inTurn(work: () => Promise<void>): Promise<void> {
  last = last.then(work).catch((error: unknown) => output.error(String(error)));
  return last;
}

async function restart(): Promise<void> {
  await stop();
  await start();
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  try {
    await running?.dispose();
  } catch (error) {
    // One that never started cannot be stopped.
    output.debug(String(error));
  }
}

async function start(): Promise<void> {
  if (client) {
    return;
  }
  const setting = vscode.workspace.getConfiguration("flowgate").get<string>("path", "");
  const located = locate(setting, vscode.workspace.workspaceFolders?.[0]?.uri.fsPath);
  if ("problem" in located) {
    output.info(`PATH is ${process.env.PATH ?? "not set"}`);
    missing(located.problem);
    return;
  }
  const asked = await version(located.program);
  if ("problem" in asked) {
    missing(asked.problem);
    return;
  }
  output.info(`starting ${located.program}, version ${asked.version}`);
  client = new LanguageClient(
    "flowgate",
    "flowgate",
    { command: located.program, args: ["lsp"] },
    { documentSelector: [...FILES, ...PARTS], outputChannel: output, revealOutputChannelOn: RevealOutputChannelOn.Never },
  );
  try {
    await client.start();
  } catch (error) {
    await stop();
    const why = error instanceof Error ? error.message : String(error);
    missing(`${located.program} did not start: ${why}. Update it, or correct flowgate.path.`);
  }
}

function missing(problem: string): void {
  output.error(problem);
  const settings = "Open the Setting";
  const again = "Try Again";
  void vscode.window.showErrorMessage(`flowgate: ${problem}`, settings, again).then((choice) => {
    if (choice === settings) {
      // The setting belongs to the machine that runs the server: in a remote window the user's page does not show it.
      if (vscode.env.remoteName === undefined) {
        void vscode.commands.executeCommand("workbench.action.openSettings", "flowgate.path");
      } else {
        void vscode.commands.executeCommand("workbench.action.openRemoteSettings", { query: "flowgate.path" });
      }
    } else if (choice === again) {
      void inTurn(restart);
    }
  });
}
