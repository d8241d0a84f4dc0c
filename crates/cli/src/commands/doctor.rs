//! `flowgate doctor`.

use std::ffi::OsStr;

use flowgate_flow::config::EnvironmentConfig;
use flowgate_flow::feed::{is_feed, is_index};
use flowgate_flow::load;
use flowgate_report::feed::{json, terminal};
use flowgate_runtime::feed::diagnose;
use flowgate_runtime::identity::Identity;
use flowgate_runtime::outcome::ExitReason;

use super::{Failure, block_on, one_flow};
use crate::args::{DoctorCommand, FeedArguments};
use crate::places::Places;
use crate::say;

pub(super) fn run(command: &DoctorCommand) -> Result<u8, Failure> {
    match command {
        DoctorCommand::Feed(arguments) => feed(arguments),
    }
}

fn feed(arguments: &FeedArguments) -> Result<u8, Failure> {
    let places = Places::of_this_process()?;
    let (urls, config) = urls(&places, &arguments.feed)?;
    if urls.is_empty() {
        say::note("the flow's requirements name no feed: its packages come from the public index");
    }
    let named = arguments.identity.client_id.clone();
    let named = named.or_else(|| config.as_ref().and_then(|config| config.identity.clone()));
    let identity = Identity::new(Places::identity(named));
    let feeds = config.as_ref().map(|config| config.feeds.as_slice());
    let diagnoses = block_on(async {
        let mut diagnoses = Vec::new();
        for url in &urls {
            diagnoses.push(diagnose(url, arguments.package.as_deref(), &identity, feeds).await);
        }
        diagnoses
    })?;
    say::report(arguments.format, || terminal::render(&diagnoses), || json::render(&diagnoses))?;
    let is_usable = diagnoses.iter().all(|diagnosis| diagnosis.is_usable());
    Ok(if is_usable { ExitReason::Passed } else { ExitReason::Environment }.code())
}

/// The URL that was named, or those of a flow's requirements, each once, with the flow's configuration.
fn urls(places: &Places, written: &OsStr) -> Result<(Vec<String>, Option<EnvironmentConfig>), Failure> {
    let (path, named) = (places.working_directory.join(written), &*written.to_string_lossy());
    if !path.exists() && (named.contains("://") || is_feed(named)) {
        return Ok((vec![named.to_owned()], None));
    }
    let fs = super::within(&places.working_directory, &[written.into()]);
    let project = load::load_project(&fs, &one_flow(&path, named)?);
    let lines = project.requirements.iter().flat_map(|file| &file.requirements.lines);
    let options = lines.flat_map(|line| &line.options).filter(|option| is_index(option));
    let mut urls: Vec<String> = Vec::new();
    for url in options.filter_map(|option| option.value.as_ref()) {
        if !urls.contains(&url.value) {
            urls.push(url.value.clone());
        }
    }
    Ok((urls, Some(places.settings(&fs, &project.folder)?.config)))
}
