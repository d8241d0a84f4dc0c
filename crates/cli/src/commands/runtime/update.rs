//! `flowgate runtime update`.

use flowgate_flow::base_image::{NEWEST, is_microsofts, known_bad};
use flowgate_flow::load::{self, Overlay};
use flowgate_report::base_image::FROZEN;
use flowgate_report::check::display_path;
use flowgate_report::file;
use flowgate_runtime::registry::RegistryErrorKind;
use flowgate_runtime::runtimes::convert;
use flowgate_runtime::runtimes::update::{newest, repository, with_image};
use flowgate_runtime::{RuntimeError, plan};
use similar::TextDiff;

use super::super::environment::advised;
use super::super::{Failure, one_flow, within};
use super::confirm::ask;
use super::print_one;
use super::replace::{Built, By, as_started};
use crate::args::UpdateArguments;
use crate::places::Places;
use crate::say;

/// Builds the environment upon the other image first, and changes the flow's file and the runtime once that is there.
pub(super) async fn run(places: &Places, arguments: &UpdateArguments) -> Result<u8, Failure> {
    let (places, docker, old) = &as_started(places, &arguments.target.target).await?;
    let base = &places.working_directory;
    let file = one_flow(&old.flow, &display_path(&old.flow, base))?;
    let name = display_path(&file, base);
    let boundary = within(base, std::slice::from_ref(&file));
    let before = convert::text_of(&file).map_err(Failure::of)?;
    let project = load::load_project(&boundary, &file);
    let environment = project.flow.as_ref().and_then(|flow| flow.flow.environment.as_ref());
    let now = environment.and_then(|environment| environment.image.as_ref()).map(|image| image.value.as_str());
    let settings = places.settings(&boundary, &project.folder)?;
    if let Some(built) = now.and_then(|now| settings.config.images.get(now).map(|image| (now, &image.build))) {
        return Err(Failure {
            hint: Some("change its Dockerfile, and `flowgate runtime install` replaces the runtime".to_owned()),
            ..Failure::usage(format!("the image `{}` is built from the folder {}", built.0, built.1))
        });
    }
    let wanted = match &arguments.image {
        Some(image) => Some(image.clone()),
        None => wanted(places, now).await?,
    };
    let after = match wanted.as_deref().filter(|wanted| Some(*wanted) != now) {
        Some(image) => {
            with_image(&before, image).map_err(|why| Failure::usage(format!("{name} is not changed: {why}")))?
        }
        None => before.clone(),
    };
    warn(wanted.as_deref().or(now));
    if after == before {
        match (&arguments.image, now) {
            (Some(image), _) => say::note(&format!("{name} names `{image}` already.")),
            (None, Some(_)) => say::note(&format!("{name} is on the newest image that is known.")),
            // That its image comes with flowgate was said.
            (None, None) => {}
        }
    } else {
        let diff = TextDiff::from_lines(before.as_str(), after.as_str());
        say::patch(&diff.unified_diff().header(&name, &name).to_string())?;
        if !arguments.yes {
            ask("Write this?", "nothing was changed").await?;
        }
    }
    let mut changed = Overlay::new(&boundary);
    changed.insert(&file, after.as_str());
    let project = load::load_project(&changed, &file);
    let refused = |error: RuntimeError| advised(&boundary, &name, &project, error);
    let plan = plan(&project, &settings).map_err(refused)?;
    let by = By { places, docker, name: &name, plan: &plan, yes: arguments.yes, format: arguments.target.format };
    let built = by.build(old).await?;
    if after != before {
        file::replace(&file, before.as_bytes(), after.as_bytes()).map_err(|error| Failure::of_file(&file, &error))?;
    }
    match built {
        Built::Same(old) => print_one(places, docker, old, by.format).await,
        Built::Other(old, image) => by.replace(&old, &image).await,
    }
}

/// The newest version of the image that a flow is on; `None` for flowgate's own.
async fn wanted(places: &Places, now: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(now) = now else {
        say::note("The flow is on flowgate's own base image, which comes with flowgate.");
        return Ok(None);
    };
    let with_hint = |failure: Failure| Failure {
        hint: Some(
            "name the image to move to with `--image`; `flowgate environment check-version` says more".to_owned(),
        ),
        ..failure
    };
    match places.engines.environments.registries.tags(now).await {
        Ok(tags) => match newest(now, &tags) {
            Some(image) => Ok(Some(image)),
            None => Err(with_hint(Failure::usage(format!("no tag of {now} reads as a version (YYYYMMDD.vN)")))),
        },
        Err(error) if is_microsofts(now) && error.kind == RegistryErrorKind::Unanswered => {
            say::note(&format!(
                "Its registry does not say its versions: {error}. The newest that is known is {NEWEST}."
            ));
            Ok(repository(now).map(|repository| format!("{repository}:{NEWEST}")))
        }
        Err(error) => {
            let message = format!("cannot tell the newest version of {now}: {error}");
            Err(with_hint(match error.kind {
                RegistryErrorKind::Unanswered => Failure::infrastructure(message),
                _ => Failure::usage(message),
            }))
        }
    }
}

/// Says what is known against an image.
fn warn(image: Option<&str>) {
    let Some(image) = image else { return };
    if let Some(version) = known_bad(image) {
        say::line(&format!("warning: Microsoft says of {}: {}", version.tag, version.bad.unwrap_or_default()));
    }
    if is_microsofts(image) {
        say::note(&format!("{FROZEN}."));
    }
}
