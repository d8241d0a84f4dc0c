//! A stopped build as an image.

use std::collections::HashMap;

use bollard::models::{ContainerConfig, ImageConfig};
use bollard::query_parameters::{CommitContainerOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder};

use super::Docker;
use crate::error::RuntimeError;

/// What an image says of itself beside its files.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// What is set anew; everything else stays as the base has it.
    pub(super) labels: HashMap<String, String>,
    /// Variables that are put before the base's.
    pub(super) env: Vec<String>,
    /// Who its containers run as; `None` leaves it to the base.
    pub(super) user: Option<String>,
}

impl Docker {
    /// Makes an image of a container's files, with the configuration of its base, and gives its id.
    ///
    /// The engine takes what is not given from the container, and that would be the build's: its command, its user,
    /// its labels. So all of it is given.
    pub(super) async fn commit(
        &self,
        container: &str,
        base: &ImageConfig,
        words: Words,
    ) -> Result<String, RuntimeError> {
        let options = CommitContainerOptionsBuilder::new().container(container).pause(true).build();
        let committed = self.engine.commit_container(options, config(base, words)).await;
        committed.map(|made| made.id).map_err(|error| self.broken("make an image of a build", &error))
    }

    /// Gives an image a name.
    pub(super) async fn tag(&self, id: &str, name: &str) -> Result<(), RuntimeError> {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        let tagged = self.engine.tag_image(id, Some(options)).await;
        tagged.map_err(|error| self.broken(&format!("name an image {name}"), &error))
    }

    /// Removes an image or one of its names.
    pub(super) async fn remove_image(&self, name: &str) -> Result<(), bollard::errors::Error> {
        let options = RemoveImageOptionsBuilder::new().build();
        self.engine.remove_image(name, Some(options), None).await.map(drop)
    }
}

fn config(base: &ImageConfig, words: Words) -> ContainerConfig {
    let mut env = words.env;
    let named: Vec<String> = env.iter().filter_map(|set| Some(set.split_once('=')?.0.to_owned())).collect();
    let is_new = |set: &&String| !named.iter().any(|name| set.split('=').next() == Some(name));
    env.extend(base.env.iter().flatten().filter(is_new).cloned());
    let mut labels = base.labels.clone().unwrap_or_default();
    labels.extend(words.labels);
    let entrypoint = base.entrypoint.clone().unwrap_or_default();
    let command = base.cmd.clone().filter(|words| !words.is_empty());
    ContainerConfig {
        env: Some(env),
        // Where neither is given, the engine takes the container's; an empty entrypoint counts as given.
        cmd: command.or_else(|| entrypoint.is_empty().then(|| vec!["sh".to_owned()])),
        entrypoint: Some(entrypoint),
        user: words.user.or_else(|| base.user.clone().filter(|user| !user.is_empty())).or_else(|| Some("0".to_owned())),
        working_dir: base.working_dir.clone().filter(|path| !path.is_empty()).or_else(|| Some("/".to_owned())),
        volumes: base.volumes.clone(),
        exposed_ports: base.exposed_ports.clone(),
        healthcheck: base.healthcheck.clone(),
        on_build: base.on_build.clone(),
        stop_signal: base.stop_signal.clone(),
        shell: base.shell.clone(),
        labels: Some(labels),
        ..ContainerConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_base_says_stays_and_what_the_build_says_goes() {
        let base = ImageConfig {
            env: Some(vec!["PATH=/bin".to_owned(), "LANG=C".to_owned()]),
            labels: Some([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "1".to_owned())].into()),
            cmd: Some(vec!["python".to_owned()]),
            user: Some("app".to_owned()),
            ..ImageConfig::default()
        };
        let words = Words {
            labels: [("b".to_owned(), "2".to_owned())].into(),
            env: vec!["PATH=/opt/bin:/bin".to_owned()],
            user: None,
        };
        let config = config(&base, words);
        assert_eq!(config.env.unwrap(), ["PATH=/opt/bin:/bin", "LANG=C"]);
        assert_eq!(config.labels.unwrap(), [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into());
        assert_eq!((config.user.as_deref(), config.cmd.unwrap()), (Some("app"), vec!["python".to_owned()]));
        assert_eq!(config.entrypoint, Some(Vec::new()));
    }
}
