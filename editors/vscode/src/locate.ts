import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

/** Where the server was found, or why it was not: a fragment for the user. */
export type Located = { program: string } | { problem: string };

/** The program that the setting names, else the first one in `PATH`. */
export function locate(setting: string, folder: string | undefined): Located {
  const named = setting.trim();
  if (named === "") {
    const found = inPath();
    return found ? { program: found } : { problem: "there is no `flowgate` in PATH" };
  }
  if (folder === undefined && named.includes("${workspaceFolder}")) {
    return { problem: "`flowgate.path` names the workspace folder, and no folder is open" };
  }
  const expanded = named.replace(/^~(?=$|[/\\])/, homedir()).replaceAll("${workspaceFolder}", folder ?? "");
  const program = isAbsolute(expanded) || folder === undefined ? expanded : join(folder, expanded);
  return runs(program) ? { program } : { problem: `\`flowgate.path\` leads to no program: ${program}` };
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
