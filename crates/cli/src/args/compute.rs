//! The arguments of `flowgate compute`, and the option that names one.

use std::path::PathBuf;

use clap::Subcommand;
use flowgate_runtime::computes;

use super::ReportFormat;

/// Which Docker engine a command is for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OnCompute {
    /// Use this compute's Docker engine, one of `flowgate compute list`. Without it, Docker's current one.
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) compute: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ComputeCommand {
    /// List the Docker engines that are known, and ask each whether it is there.
    List {
        /// How to print them.
        #[arg(long, value_enum, default_value = "text")]
        format: ReportFormat,
    },
    /// Add a Docker engine, once it answers. Docker's contexts are computes already.
    Add {
        /// Its name.
        #[arg(value_parser = compute_name)]
        name: String,
        /// Where it is: `ssh://[USER@]HOST[:PORT]`, `tcp://HOST:PORT` or `unix:///PATH`.
        host: String,
        /// The folder with `ca.pem`, `cert.pem` and `key.pem`, for `tcp://`.
        #[arg(long, value_name = "FOLDER")]
        tls: Option<PathBuf>,
    },
    /// Forget a Docker engine. Its runtimes stay.
    Remove {
        /// Its name.
        name: String,
        /// Do not ask, even if runtimes are on it.
        #[arg(long)]
        yes: bool,
    },
    /// Show a Docker engine: its version, its machine, and the runtimes on it.
    Show {
        /// Its name. Without it, Docker's current one.
        name: Option<String>,
        /// How to print it.
        #[arg(long, value_enum, default_value = "text")]
        format: ReportFormat,
    },
}

fn compute_name(name: &str) -> Result<String, String> {
    computes::check_name(name).map(|()| name.to_owned())
}
