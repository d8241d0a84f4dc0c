import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

/** Where the server was found, or why it was not and what to do: for the user. */
export type Located = { program: string } | { problem: string };

/** The program that the setting names, else the first one in `PATH`. */
export function locate(setting: string, folder: string | undefined): Located {
  const named = setting.trim();
  if (named === "") {
    const found = inPath();
    return found ? { program: found } : { problem: "there is no flowgate in PATH. Install it, or set flowgate.path." };
  }
  if (folder === undefined && named.includes("${workspaceFolder}")) {
    return { problem: "flowgate.path names the workspace folder, and none is open. Open one, or give the whole path." };
  }
  const expanded = named.replace(/^~(?=$|[/\\])/, homedir()).replaceAll("${workspaceFolder}", folder ?? "");
  const program = isAbsolute(expanded) || folder === undefined ? expanded : join(folder, expanded);
  return runs(program)
    ? { program }
    : { problem: `flowgate.path leads to no program: ${program}. Correct it, or empty it to use the one in PATH.` };
}

/**
 * The version that the program says it is, or why it says none. Asked before it is started as a server, because a wrong
 * program leaves the client nothing to report but a broken pipe.
 */
export function version(program: string): Promise<{ version: string } | { problem: string }> {
  return new Promise((resolve) => {
    execFile(program, ["--version"], { timeout: 10_000, maxBuffer: 4096, windowsHide: true }, (error, stdout) => {
      const said = /^flowgate (\S+)\s*$/.exec(stdout)?.[1];
      if (error === null && said !== undefined) {
        resolve({ version: said });
        return;
      }
      const why =
        error === null ? "its --version does not say so" : error.message.trim().slice(0, 300).replaceAll("\n", " ");
      resolve({ problem: `${program} is not a working flowgate: ${why}. Install it anew, or correct flowgate.path.` });
    });
  });
}

function inPath(): string | undefined {
  const names = process.platform === "win32" ? ["flowgate.exe"] : ["flowgate"];
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(runs);
}

function runs(program: string): boolean {
  try {
    accessSync(program, constants.X_OK);
    return statSync(program).isFile();
  } catch {
    return false;
  }
}
