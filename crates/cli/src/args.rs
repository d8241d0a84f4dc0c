//! The arguments, as clap reads them; their documentation is the help text.

mod compute;
mod runtime;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use flowgate_check::Level;
use flowgate_runtime::environment::base;
use flowgate_runtime::environment::cache::CacheRepository;

pub(crate) use compute::*;
pub(crate) use runtime::*;

/// Keeps Microsoft prompt flows healthy: checks them while you type, runs them on every pull
/// request.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 passed; 1 lines failed; 2 usage or configuration; 3 findings at or above \
the failing level; 4 environment could not be built, or the engine refuses the flow; 5 runtime could not start or \
died; 8 infrastructure (engine, registry, disk); 130 cancelled.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check flows and their requirements files, without running anything.
    Check(CheckArguments),
    /// Run flows on sample inputs or a data set, with the real engine.
    Run(RunArguments),
    /// Plan, build and look at what flows run in.
    Environment {
        #[command(flatten)]
        on: OnCompute,
        #[command(subcommand)]
        command: EnvironmentCommand,
    },
    /// Start, inspect, change and stop warm runtimes.
    Runtime {
        #[command(flatten)]
        on: OnCompute,
        #[command(subcommand)]
        command: RuntimeCommand,
    },
    /// Say which Docker engines there are for runtimes.
    Compute {
        #[command(subcommand)]
        command: ComputeCommand,
    },
    /// Find out why something does not work, step by step.
    Doctor {
        #[command(subcommand)]
        command: DoctorCommand,
    },
    /// Draw a flow: what waits for what, under which condition, and where the findings are.
    Graph(GraphArguments),
    /// Explain a rule, or list all rules.
    Rule {
        /// The rule's name, for example `pinned-promptflow`.
        name: Option<String>,
    },
    /// Serve an editor, over standard input and output.
    #[cfg(feature = "lsp")]
    Lsp,
    /// Run as a GitHub Action: inputs and event come from the workflow.
    #[cfg(feature = "action")]
    Action,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArguments {
    /// Flows, requirements files, or folders to search for flows.
    #[arg(default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
    /// How to print the findings.
    #[arg(long, value_enum, default_value = "terminal")]
    pub(crate) format: Format,
    /// The lowest level that makes the exit code 3.
    #[arg(long, value_enum, default_value = "error")]
    pub(crate) fail_on: FailOn,
    /// Apply the fixes that are safe, then show what remains.
    #[arg(long)]
    pub(crate) fix: bool,
    /// Count fixes that are a guess among those to apply or to show.
    #[arg(long)]
    pub(crate) unsafe_fixes: bool,
    /// Show what `--fix` would change, and change nothing; the exit code is 3 where it would.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Only these rules, also where flowgate.yaml turns them off.
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = rule_name)]
    pub(crate) select: Vec<&'static str>,
    /// Not these rules.
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = rule_name)]
    pub(crate) ignore: Vec<&'static str>,
    /// Count the findings of each rule instead of showing them.
    #[arg(long)]
    pub(crate) statistics: bool,
    /// Check the text on standard input as this file, which need not be there, beside the files of the disk. With
    /// `--fix`, the fixed text goes to standard output and the findings go to standard error.
    #[arg(long, value_name = "PATH", conflicts_with = "paths")]
    pub(crate) stdin_filename: Option<PathBuf>,
    /// Say of each file as what it is checked, or why it is not, instead of checking.
    #[arg(long, conflicts_with_all = ["fix", "diff", "statistics", "stdin_filename"])]
    pub(crate) explain_why: bool,
}

fn rule_name(name: &str) -> Result<&'static str, flowgate_check::config::UnknownRule> {
    flowgate_check::config::rule_name(name)
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// With excerpts of the source, for people.
    Terminal,
    /// One JSON object (docs/check-report.schema.json).
    Json,
    /// GitHub workflow commands, which become annotations.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit's XML; a finding at or above the failing level is a failure.
    Junit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FailOn {
    /// Errors only.
    Error,
    /// Warnings and errors.
    Warning,
    /// Any finding.
    Hint,
    /// Never.
    Never,
}

impl FailOn {
    /// The lowest level that fails.
    pub(crate) fn level(self) -> Option<Level> {
        match self {
            Self::Error => Some(Level::Error),
            Self::Warning => Some(Level::Warning),
            Self::Hint => Some(Level::Hint),
            Self::Never => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentCommand {
    /// Say what goes into the environment of a flow, under which address, and whether it is built. Builds nothing.
    Plan(EnvironmentFlow),
    /// Build what flows need, where it is not built yet.
    Build(BuildArguments),
    /// Show what was built for a flow: the image, and what its requirements brought.
    Show(EnvironmentFlow),
    /// List what is installed in the environment of a flow: by the base, the requirements, and along with those.
    Packages(EnvironmentFlow),
    /// Remove images that no flow had last, and virtual environments that were not used for 30 days.
    Prune {
        /// Remove every environment, those of the process backend included.
        #[arg(long)]
        all: bool,
    },
    /// Build flowgate's own base image, and print its name.
    Base {
        /// The Python image to start from, where the official one cannot be pulled.
        #[arg(long, value_name = "IMAGE")]
        from: Option<String>,
        /// Its Python.
        #[arg(long, value_name = "VERSION", default_value = base::DEFAULT_PYTHON, value_parser = base::PYTHONS)]
        python: String,
    },
    /// Ask the registry of a base image for its versions, and say what is wrong with the one in use.
    CheckVersion(CheckVersionArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnvironmentFlow {
    /// A flow, or a folder that holds one.
    #[arg(default_value = ".")]
    pub(crate) flow: PathBuf,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArguments {
    /// Flows, or folders to search for flows.
    #[arg(required = true, value_name = "FLOW")]
    pub(crate) flows: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) making: MakingArguments,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

/// How environments are made.
#[derive(Debug, clap::Args)]
pub(crate) struct MakingArguments {
    #[command(flatten)]
    pub(crate) identity: IdentityArguments,
    /// How many seconds one build of an environment may take.
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) build_timeout: u64,
    /// A repository of a registry to look for environments in before they are built. Credentials are
    /// Docker's, or the identity's.
    #[arg(long, value_name = "REGISTRY/NAME")]
    pub(crate) cache_from: Option<CacheRepository>,
    /// A repository of a registry to push environments to that were built.
    #[arg(long, value_name = "REGISTRY/NAME")]
    pub(crate) cache_to: Option<CacheRepository>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DoctorCommand {
    /// Walk the way to a private package feed: URL, name, TLS, identity, index, package.
    Feed(FeedArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckVersionArguments {
    /// A flow, a folder that holds one, or an image.
    #[arg(default_value = ".", value_name = "FLOW|IMAGE")]
    pub(crate) image: OsString,
    #[command(flatten)]
    pub(crate) identity: IdentityArguments,
    /// How to print what was found.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FeedArguments {
    /// A flow, a folder that holds one, or the URL of a feed's index.
    #[arg(default_value = ".", value_name = "FLOW|URL")]
    pub(crate) feed: OsString,
    /// Look for this package, too.
    #[arg(long, value_name = "NAME", value_parser = package_name)]
    pub(crate) package: Option<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArguments,
    /// How to print what was found.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

/// Who we are to feeds and registries. A token for feeds comes in FLOWGATE_FEED_TOKEN, for a
/// command line can be read by every user of a machine.
#[derive(Debug, clap::Args)]
pub(crate) struct IdentityArguments {
    /// The client id of the Azure identity to use, where it is not the machine's only one. Without it,
    /// `environment.identity` of flowgate.yaml counts.
    #[arg(long = "identity", value_name = "CLIENT_ID")]
    pub(crate) client_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Text,
    /// One JSON object (its schema is in docs/).
    Json,
}

fn package_name(name: &str) -> Result<String, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_word) {
        true => Ok(name.to_owned()),
        false => Err("not the name of a package".to_owned()),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct GraphArguments {
    /// A flow, or a folder that holds one.
    #[arg(default_value = ".")]
    pub(crate) flow: PathBuf,
    /// What to draw. Without it, the name of `--output` decides, else Mermaid.
    #[arg(long, value_enum)]
    pub(crate) format: Option<GraphFormat>,
    /// Write it there instead of printing it; `-` prints it.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A diagram that GitHub and many editors draw in Markdown.
    Mermaid,
    /// A picture.
    Svg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Flows, or folders to search for flows.
    #[arg(default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
    /// Rows to run one flow on: .jsonl, .json or .csv; `-` is standard input. Without it, the inputs' defaults are used.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Values for inputs, in every row: `--inputs question="What is a flow?" limit=3`. The engine
    /// converts each to the input's type.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) inputs: Vec<(String, String)>,
    /// Where to run. `auto` is docker where an engine is installed or configured, else process.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) backend: BackendChoice,
    #[command(flatten)]
    pub(crate) on: OnCompute,
    /// Write the whole result as JSON (docs/run-report.schema.json); `-` is standard output, and what people read goes to
    /// standard error then.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// How many seconds one line may take. A flow has as many to load, but 60 at least.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) line_timeout: u64,
    /// How many lines run in one runtime at the same time. Default: one for each of its processors.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<NonZeroUsize>,
    /// Leave the runtime running for the next run, as `flowgate runtime start` does.
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) making: MakingArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    /// Docker where an engine is installed or configured, else process; says which and why.
    Auto,
    /// A container without a network.
    Docker,
    /// A virtual environment on this machine. No sandbox: run only flows that you trust.
    Process,
}

impl RunArguments {
    /// `--inputs a=1 b=2`: clap gives the option its first value only, so that a flow may follow it;
    /// further words that assign a value, and are no file, belong to it, too.
    pub(crate) fn with_all_inputs(mut self) -> Self {
        if self.inputs.is_empty() {
            return self;
        }
        let is_value = |path: &PathBuf| !path.exists() && path.to_str().is_some_and(|text| text.contains('='));
        let (values, paths): (Vec<_>, Vec<_>) = self.paths.into_iter().partition(is_value);
        self.inputs.extend(values.iter().filter_map(|value| name_and_value(value.to_str()?).ok()));
        self.paths = if paths.is_empty() { vec![PathBuf::from(".")] } else { paths };
        self
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
