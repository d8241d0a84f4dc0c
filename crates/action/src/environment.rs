//! What a pull request may have built, and from where: the workflow and the base revision say it, never the pull
//! request's own files.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use flowgate_flow::config::{self, EnvironmentConfig};
use flowgate_flow::load::{Memory, Within};
use flowgate_runtime::environment::{Environments, PUBLIC_REGISTRIES, TrustScope, TrustedImages};
use flowgate_runtime::identity::{Identity, IdentityOptions};
use flowgate_runtime::plan::Settings;
use flowgate_runtime::registry::Registries;

use crate::Host;
use crate::event::Event;
use crate::inputs::{InputError, Inputs};

/// What a workflow does where no way leads to a token.
const ADVICE: &str = "give the job `permissions: id-token: write` and the step `azure-client-id` and `azure-tenant-id`, or give it `feed-token` from a secret";

/// Who the flows' builds are to feeds and registries: for untrusted code nobody, whatever the workflow was given and
/// whatever the runner's machine offers.
fn identity(host: &Host, inputs: &Inputs, event: &Event) -> Identity {
    if event.untrusted {
        return Identity::nobody(
            "untrusted code gets none",
            "let its packages come from the public index, or run it from a branch of this repository",
        );
    }
    let given = host.engines.environments.packages.identity.options().clone();
    Identity::new(IdentityOptions {
        client_id: inputs.azure_client_id.clone(),
        tenant_id: inputs.azure_tenant_id.clone(),
        oidc: inputs.oidc.clone(),
        advice: Some(ADVICE),
        ..given
    })
}

/// The host's way of building environments, held to what the event permits.
pub(crate) fn environments(host: &Host, inputs: &Inputs, event: &Event) -> Environments {
    let mut environments = host.engines.environments.clone();
    if let Some(pull) = &event.pull_request {
        environments.scope = TrustScope::PullRequest { repository: pull.repository.clone(), number: pull.number };
        environments.trusted_images = if event.untrusted { TrustedImages::WithoutSecrets } else { TrustedImages::All };
    } else if event.untrusted {
        // Nothing is known of it: what it builds is nobody else's.
        environments.scope = TrustScope::PullRequest { repository: "unknown".to_owned(), number: 0 };
        environments.trusted_images = TrustedImages::No;
    }
    environments.packages.feeds.extend(inputs.feeds.iter().cloned());
    environments.packages.feed_advice = if event.untrusted || event.pull_request.is_some() {
        "add it to the input `feeds`, or to `environment.feeds` in the base revision's flowgate.yaml"
    } else {
        "add it to the input `feeds`, or to `environment.feeds` in flowgate.yaml"
    };
    environments.cache = inputs.cache.clone();
    let identity = Arc::new(identity(host, inputs, event));
    if event.untrusted {
        environments.registries = Registries::anonymous("untrusted code has no credential");
        let public = PUBLIC_REGISTRIES.map(str::to_owned).into_iter();
        environments.image_registries = Some(public.chain(inputs.registries.iter().cloned()).collect());
        environments.cache.to = None;
    } else {
        environments.registries = environments.registries.with_identity(Arc::clone(&identity));
    }
    environments.packages.identity = identity;
    environments
}

/// What an untrusted event may not do with registries, where the workflow asks for it: a full sentence.
pub(crate) fn held_back(inputs: &Inputs, event: &Event) -> Option<&'static str> {
    (event.untrusted && !inputs.cache.is_none()).then_some(
        "This code is untrusted: the registry cache is asked without a credential, and nothing is pushed to it.",
    )
}

/// What a flow's environment depends on beside it, and what the user should know: a full sentence.
///
/// # Errors
/// A flowgate.yaml that cannot be used.
pub(crate) fn settings(
    host: &Host,
    inputs: &Inputs,
    event: &Event,
    fs: &Within,
    folder: &Path,
) -> Result<(Settings, Option<String>), InputError> {
    let loaded = config::load(fs, folder).map_err(|error| InputError(error.to_string()))?;
    let mut config = loaded.config.environment.clone();
    let mut note = None;
    let root = loaded.file.as_ref().and_then(|file| file.path.parent()).unwrap_or(folder).to_owned();
    if event.untrusted || event.pull_request.is_some() {
        let file = loaded.file.as_ref().map(|file| file.path.as_path());
        let of_base = file.and_then(|file| of_base(inputs, event, file));
        let (base, cause) = match of_base {
            Some(Ok(base)) => (base, None),
            Some(Err(cause)) => (EnvironmentConfig::default(), Some(cause)),
            None => (EnvironmentConfig::default(), None),
        };
        if (&config.feeds, &config.identity) != (&base.feeds, &base.identity) {
            note = Some(match cause {
                Some(cause) => format!(
                    "`feeds` and `identity` of flowgate.yaml are not used: the base revision's copy counts, and it cannot be read ({cause}). \
                     Check out with `fetch-depth: 2`, or use the inputs `feeds` and `azure-client-id`."
                ),
                None => "`feeds` and `identity` of flowgate.yaml are used as the base revision has them: what this pull request changes there counts once it is merged.".to_owned(),
            });
        }
        (config.feeds, config.identity) = (base.feeds, base.identity);
    }
    if event.untrusted && !inputs.build_network {
        config.images.values_mut().for_each(|image| image.network = false);
    }
    let platform = Some(host.engines.environments.platform.clone());
    Ok((Settings { config, root, platform, boundary: Some(fs.clone()) }, note))
}

/// What the base revision's copy of a flowgate.yaml says of environments.
fn of_base(inputs: &Inputs, event: &Event, file: &Path) -> Option<Result<EnvironmentConfig, String>> {
    let pull = event.pull_request.as_ref()?;
    let file = file.strip_prefix(&inputs.workspace).ok()?;
    Some(show(&inputs.workspace, &pull.base_sha, file).and_then(|text| {
        let Some(text) = text else { return Ok(EnvironmentConfig::default()) };
        let path = inputs.workspace.join(file);
        let memory = Memory { files: [(path.clone(), text)].into() };
        let folder = path.parent().unwrap_or(&inputs.workspace);
        config::load(&memory, folder).map(|loaded| loaded.config.environment.clone()).map_err(|error| error.to_string())
    }))
}

/// A file as it is in a commit; `None` where the commit does not have it.
fn show(workspace: &Path, commit: &str, file: &Path) -> Result<Option<Vec<u8>>, String> {
    if commit.len() < 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the event names no base revision".to_owned());
    }
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        // The checkout may belong to another user than a container's.
        command.arg("-C").arg(workspace).args(["-c", "safe.directory=*"]);
        // Nothing that the checkout's configuration names is started.
        command.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external="]);
        command.args(words);
        command.output().map_err(|error| format!("git does not start: {error}"))
    };
    if !git(&["cat-file", "-e", &format!("{commit}^{{commit}}")])?.status.success() {
        return Err(format!("the checkout does not hold {}", &commit[..12]));
    }
    let name = file.to_str().ok_or("its path is not UTF-8")?.replace('\\', "/");
    let shown = git(&["cat-file", "blob", &format!("{commit}:{name}")])?;
    Ok(shown.status.success().then_some(shown.stdout))
}
