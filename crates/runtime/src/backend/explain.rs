//! What an installer says, in the words of whom it concerns.

use flowgate_flow::requirements::{self, Requirement};

use crate::environment::local;
use crate::error::{RuntimeError, Stage};
use crate::plan::PlannedRequirement;
use crate::wire::clip;

/// What pip and uv say where requirements cannot be met together.
const CONFLICTS: [&str; 3] =
    ["requirements are unsatisfiable", "conflicting dependencies", "No solution found when resolving"];
/// Where uv begins to say why.
const TITLE: &str = "No solution found when resolving dependencies";
/// What they say where there is no such package, or no such version of it.
const ABSENT: [&str; 5] = [
    "was not found in the package registry",
    "Could not find a version that satisfies",
    "there is no version of",
    "there are no versions of",
    "is available and you require",
];
/// What they say where a package cannot be built; its name follows.
const UNBUILT: [&str; 2] = ["Failed to build `", "Failed building wheel for "];
/// And where it has no name yet: it lies in the flow's folder, and its own build would tell its name.
const NAMELESS: [&str; 2] = ["The build backend returned an error", "Getting requirements to build wheel did not run"];
/// What they say where a file is not what its line promises; the package follows.
const MISMATCHES: [&str; 2] = ["Hash mismatch for ", "DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE"];
/// How many last lines of a log are kept: what went wrong stands at its end.
const LOG_LINES: usize = 40;
/// The deepest that uv indents a step of its own.
const STEP_INDENT: usize = 6;

/// What requirements are installed upon.
pub(super) struct Base<'b> {
    /// As messages name it.
    pub(super) name: &'b str,
    /// What helps where requirements do not go with it.
    pub(super) hint: &'static str,
}

/// Tells the steps of an installer from the rest of what it says.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The first line of an error; what follows belongs to it.
    error: Option<String>,
}

impl Steps {
    /// The step that a line tells.
    pub(super) fn of<'l>(&mut self, line: &'l str) -> Option<&'l str> {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if indent <= STEP_INDENT && ["error:", "ERROR:", "\u{d7} "].iter().any(|start| text.starts_with(start)) {
            self.error.get_or_insert_with(|| text.to_owned());
        }
        // uv names its Python, and then is silent while it resolves.
        let text = if text.starts_with("Using Python ") { "resolving the requirements" } else { text };
        (self.error.is_none() && indent <= STEP_INDENT).then_some(text)
    }
}

/// An installer's failure.
pub(super) fn failure(
    error: RuntimeError,
    steps: &Steps,
    planned: &[PlannedRequirement],
    base: &Base<'_>,
) -> RuntimeError {
    let Some(mut log) = error.log.clone() else { return error };
    // Of a long log only the end is there, and its first line says what it is about.
    if let Some(first) = steps.error.as_ref().filter(|first| !log.contains(first.as_str())) {
        log = format!("{first}\n{log}");
    }
    let told = |message: String, hint: &str| {
        RuntimeError::new(Stage::Environment, clip(message, 4000)).with_hint(hint).with_log(last_lines(&log))
    };
    if let Some(from) = log.lines().position(|line| CONFLICTS.iter().chain(&ABSENT).any(|words| line.contains(words))) {
        // Its words are the message, and need no log beside it.
        let why = joined(log.lines().skip(from));
        let lines = places(planned, &why).unwrap_or("the requirements".to_owned());
        let (what, hint) = if ABSENT.iter().any(|words| log.contains(words)) {
            let hint = "look at the spelling and the version, and at which indexes the requirements name";
            ("cannot be had from the indexes".to_owned(), hint)
        } else {
            (format!("cannot be met together with what {} holds", base.name), base.hint)
        };
        return RuntimeError::new(Stage::Environment, clip(format!("{lines} {what}: {why}"), 4000)).with_hint(hint);
    }
    if let Some(at) = log.lines().position(|line| MISMATCHES.iter().any(|words| line.contains(words))) {
        let about = joined(log.lines().skip(at).take(2));
        let lines = places(planned, &about).unwrap_or("the requirements".to_owned());
        return told(
            format!("{lines}: the file on the index has another hash"),
            "the end of the log shows both: write the hash anew where the version is new, and else do not install it",
        );
    }
    if let Some((line, package)) = log.lines().find_map(|line| Some((line, unbuilt(line)?))) {
        // uv says which requirement it came with.
        let way = log.lines().find(|line| line.contains("was included because")).unwrap_or(line);
        let lines = places(planned, way).map(|lines| format!("{lines}: ")).unwrap_or_default();
        let hint = if has_no_compiler(&log) {
            "the base image has no compiler: ask for versions that have a wheel for its Python, or describe a base image with a compiler (`environment.images` in flowgate.yaml)"
        } else {
            "the end of its log says why; ask for versions that have a wheel for the Python of the base image"
        };
        return told(format!("{lines}`{package}` could not be built from its source"), hint);
    }
    let sources = || planned.iter().filter(|line| local_source(line).is_some());
    if NAMELESS.iter().any(|words| log.contains(words))
        && let Some(lines) = listed(sources())
    {
        let which = if sources().count() > 1 { "one of " } else { "" };
        return told(
            format!("{which}{lines} could not be built from its source"),
            "the end of its log says why; mend it, or put a wheel of it into the flow's folder",
        );
    }
    RuntimeError { log: Some(last_lines(&log)), ..error }
}

/// The package that a line says was not built.
fn unbuilt(line: &str) -> Option<&str> {
    let (_, rest) = UNBUILT.iter().find_map(|words| line.split_once(words))?;
    rest.split(['`', ' ', ',', '(']).next().filter(|name| !name.is_empty())
}

fn has_no_compiler(log: &str) -> bool {
    let missing = ["No such file or directory", "command not found", "unable to execute"];
    let compilers = ["gcc", "g++", "cc'", "c++", "clang"];
    log.lines().any(|line| {
        missing.iter().any(|words| line.contains(words)) && compilers.iter().any(|words| line.contains(words))
    })
}

/// The lines that a text is about, with their places.
fn places(planned: &[PlannedRequirement], text: &str) -> Option<String> {
    let is_about = |line: &&PlannedRequirement| match local_source(line) {
        Some(path) => text.contains(&format!("./{path}")),
        None => named(&line.line).iter().any(|name| mentions(text, name)),
    };
    listed(planned.iter().filter(is_about))
}

fn listed<'p>(lines: impl Iterator<Item = &'p PlannedRequirement>) -> Option<String> {
    let places: Vec<String> = lines.map(|line| format!("{}: `{}`", line.place, line.line)).collect();
    (!places.is_empty()).then(|| places.join(", "))
}

/// The path of a requirement that is built from sources in the flow's folder.
fn local_source(line: &PlannedRequirement) -> Option<&str> {
    local::path(&line.normal).filter(|path| !path.ends_with(".whl"))
}

/// The normalised names that a requirement line names.
pub(super) fn named(line: &str) -> Vec<String> {
    requirements::read(line).requirements().filter_map(Requirement::normalized_name).collect()
}

/// Whether a text names a package, as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.to_ascii_lowercase()
        .split(|c| !is_part(c))
        .any(|word| requirements::normalize(word.trim_end_matches('.')) == *name)
}

fn joined<'l>(lines: impl Iterator<Item = &'l str>) -> String {
    let bare = lines
        .map(|line| line.trim_matches([' ', '\u{d7}', '\u{2570}', '\u{2500}', '\u{25b6}', '\u{2502}', '\u{251c}']))
        .map(|line| ["error: ", "ERROR: ", "cause: "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line));
    bare.filter(|line| !line.is_empty() && *line != TITLE).collect::<Vec<_>>().join(" ")
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    let left_out = if from > 0 { format!("... {from} lines before\n") } else { String::new() };
    left_out + &lines[from..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Base<'_> = Base { name: "flowgate-base:1", hint: "relax it" };

    fn planned(line: &str) -> PlannedRequirement {
        let (line, normal) = (line.to_owned(), line.to_owned());
        PlannedRequirement { line, place: "requirements.txt:1".to_owned(), normal }
    }

    fn of(log: &str) -> RuntimeError {
        let error = RuntimeError::new(Stage::Environment, "uv could not install the requirements").with_log(log);
        failure(error, &Steps::default(), &[planned("promptflow-vectordb")], &BASE)
    }

    #[test]
    fn a_package_that_cannot_be_built_is_named_with_the_line_that_brought_it() {
        let copied = "         copying ete4/treeview/main.py\n".repeat(100);
        let log = format!(
            "error: Failed to build `ete4==4.4.0`\n  cause: The build backend returned an error\n{copied}         error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'\n\nhint: `ete4` (v4.4.0) was included because `promptflow-vectordb` (v0.2.17) depends on `ete4`\n"
        );
        let error = of(&log);
        assert_eq!(
            error.message,
            "requirements.txt:1: `promptflow-vectordb`: `ete4==4.4.0` could not be built from its source"
        );
        assert!(error.hint.unwrap().contains("has no compiler"));
        let log = error.log.unwrap();
        assert!(log.starts_with("... 65 lines before\n") && log.contains("gcc") && log.lines().count() == 41, "{log}");
        // pip's words.
        let error =
            of("  error: command 'gcc' failed: No such file or directory\nERROR: Failed building wheel for ete4\n");
        assert_eq!(error.message, "`ete4` could not be built from its source");
        assert!(error.hint.unwrap().contains("has no compiler"));
        // Of a long log only the end is kept.
        let mut steps = Steps::default();
        assert_eq!(steps.of("error: Failed to build `ete4==4.4.0`"), None);
        let error = RuntimeError::new(Stage::Environment, "uv could not").with_log(copied);
        assert_eq!(failure(error, &steps, &[], &BASE).message, "`ete4==4.4.0` could not be built from its source");
        assert_eq!(of("anything else\n").message, "uv could not install the requirements");
    }

    #[test]
    fn a_version_that_is_nowhere_is_no_conflict() {
        for log in [
            "error: No solution found when resolving dependencies\n  cause: Because only promptflow-vectordb<=1.2.0 is available and you require promptflow-vectordb>=99, we can conclude that your requirements are unsatisfiable.\n",
            "  cause: Because there is no version of promptflow-vectordb==99 and you require promptflow-vectordb==99, we can conclude that your requirements are unsatisfiable.\n",
        ] {
            let said = of(log).message;
            assert!(
                said.starts_with("requirements.txt:1: `promptflow-vectordb` cannot be had from the indexes: "),
                "{said}"
            );
        }
        let said = of(
            "  cause: Because promptflow-tools depends on openai>=1 and you require openai==0.28, we can conclude that your requirements are unsatisfiable.\n",
        );
        assert!(said.message.contains("cannot be met together with what flowgate-base:1 holds"), "{said:?}");
    }

    #[test]
    fn a_file_of_another_hash_is_named_by_its_line() {
        for log in [
            "  \u{d7} Failed to download `promptflow-vectordb==0.2`\n  cause: Hash mismatch for `promptflow-vectordb==0.2`\n\nExpected:\n  sha256:00\n",
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have\n    promptflow-vectordb==0.2 from http://x\n        Expected sha256 00\n",
        ] {
            let said = of(log).message;
            assert_eq!(said, "requirements.txt:1: `promptflow-vectordb`: the file on the index has another hash");
        }
    }

    #[test]
    fn a_package_of_the_flows_own_folder_is_named_by_its_line() {
        let own = PlannedRequirement { normal: "path own[x]".to_owned(), ..planned("./own[x]") };
        for log in [
            "error: The build backend returned an error\n  cause: Call to `x` failed\n",
            "error: Failed to build `own @ ./own`\n  cause: The build backend returned an error\n",
        ] {
            let error = RuntimeError::new(Stage::Environment, "uv could not").with_log(log);
            let message = failure(error, &Steps::default(), &[planned("six"), own.clone()], &BASE).message;
            assert!(message.starts_with("requirements.txt:1: `./own[x]`"), "{message}");
            assert!(message.ends_with(" could not be built from its source"), "{message}");
        }
    }

    #[test]
    fn steps_are_told_and_what_a_build_prints_is_not() {
        let mut steps = Steps::default();
        let mut told = Vec::new();
        for line in [
            "Using Python 3.11.2 environment at: /usr",
            " Downloaded aiohttp",
            "      Built docopt==0.6.2",
            "         [stdout]",
            "error: Failed to build `x`",
            "  cause: it",
        ] {
            told.extend(steps.of(line));
        }
        assert_eq!(told, ["resolving the requirements", "Downloaded aiohttp", "Built docopt==0.6.2"]);
    }
}
