//! The arguments of `flowgate runtime`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Subcommand;
use flowgate_runtime::runtimes::size::Asked;
use flowgate_runtime::runtimes::{self, Idle};

use super::{MakingArguments, ReportFormat};

#[derive(Debug, Subcommand)]
pub(crate) enum RuntimeCommand {
    /// Start the runtime of a flow, or reuse the one that runs; start one again that has ended.
    Start(StartArguments),
    /// Start a runtime with a name, which stays until it is stopped.
    Create(CreateArguments),
    /// List the runtimes of the engine.
    List {
        /// Print each change of a state as it happens, until interrupted.
        #[arg(long)]
        watch: bool,
        /// How to print them.
        #[arg(long, value_enum, default_value = "text")]
        format: ReportFormat,
    },
    /// Show a runtime's state, settings and usage.
    Show {
        #[command(flatten)]
        target: RuntimeTarget,
        /// Print each change of its state as it happens, until it is gone.
        #[arg(long)]
        watch: bool,
    },
    /// List the packages installed in a runtime (what a flow would get: `flowgate environment packages`).
    Packages {
        /// A flow's folder, or a runtime's name or the start of it.
        #[arg(default_value = ".", value_name = "FLOW|NAME")]
        target: OsString,
    },
    /// Install what the flow needs now, by replacing its runtime once the new one answers.
    Install(InstallArguments),
    /// Replace a runtime with a new one.
    Reset(ResetArguments),
    /// Move a flow to another base image, or to the newest version of its own, and replace its runtime.
    Update(UpdateArguments),
    /// Change the idle time or the size of a runtime, while it runs.
    Edit(EditArguments),
    /// End runtimes, and wait until they are gone.
    Stop(StopArguments),
    /// Take the custom environment of a compute instance over into a flow: `environment` and requirements.txt.
    Convert(ConvertArguments),
    /// Print the end of a runtime's log.
    Logs {
        /// A flow's folder, or a runtime's name or the start of it.
        #[arg(default_value = ".", value_name = "FLOW|NAME")]
        target: OsString,
    },
    /// Remove runtimes that have failed or ended (images are `flowgate environment prune`'s).
    Prune {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct StartArguments {
    /// A flow, a folder that holds one, or a run specification, whose `resources` and `identity` count; or the name of a
    /// runtime that has ended.
    #[arg(default_value = ".", value_name = "FLOW|NAME")]
    pub(crate) target: OsString,
    #[command(flatten)]
    pub(crate) starting: StartingArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArguments {
    /// Its name.
    #[arg(value_parser = runtime_name)]
    pub(crate) name: String,
    /// A flow, a folder that holds one, or a run specification, whose `resources` and `identity` count.
    #[arg(default_value = ".")]
    pub(crate) flow: OsString,
    #[command(flatten)]
    pub(crate) starting: StartingArguments,
}

/// How a runtime is started.
#[derive(Debug, clap::Args)]
pub(crate) struct StartingArguments {
    #[command(flatten)]
    pub(crate) settings: RuntimeSettings,
    #[command(flatten)]
    pub(crate) making: MakingArguments,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RuntimeSettings {
    /// Stop it after this long without use: `90s`, `10m`, `1h`, `never`. At the start 1h, or never for one with a name.
    #[arg(long, value_name = "TIME")]
    pub(crate) idle: Option<Idle>,
    /// What it may use: `cpus=4,memory=8GiB`, or the name of an Azure VM size. At the start `cpus=2,memory=4GiB`.
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<Asked>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RuntimeTarget {
    /// A flow's folder, or a runtime's name or the start of it.
    #[arg(default_value = ".", value_name = "FLOW|NAME")]
    pub(crate) target: OsString,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArguments {
    #[command(flatten)]
    pub(crate) target: RuntimeTarget,
    /// Do not ask, even if flows are running in it.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) making: MakingArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResetArguments {
    #[command(flatten)]
    pub(crate) target: RuntimeTarget,
    /// Build its environment anew, too.
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Do not ask, even if flows are running in it.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) making: MakingArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArguments {
    #[command(flatten)]
    pub(crate) target: RuntimeTarget,
    /// The image to move to. Without it, the newest version that the registry of the flow's own image has.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Write the flow, and replace what runs, without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) making: MakingArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EditArguments {
    #[command(flatten)]
    pub(crate) target: RuntimeTarget,
    #[command(flatten)]
    pub(crate) settings: RuntimeSettings,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConvertArguments {
    /// A flow, or a folder that holds one.
    #[arg(default_value = ".")]
    pub(crate) flow: PathBuf,
    /// The environment's folder, or its Dockerfile, conda file or environment.yaml.
    #[arg(long, value_name = "PATH")]
    pub(crate) from: PathBuf,
    /// Write what changes, without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StopArguments {
    /// Flow folders, runtime names or name prefixes.
    #[arg(required = true, value_name = "FLOW|NAME")]
    pub(crate) targets: Vec<OsString>,
    /// Do not ask, even if flows are running.
    #[arg(long)]
    pub(crate) yes: bool,
}

fn runtime_name(name: &str) -> Result<String, String> {
    runtimes::check_name(name).map(|()| name.to_owned())
}
