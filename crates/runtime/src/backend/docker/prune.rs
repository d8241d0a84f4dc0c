//! Environments that no flow of this machine uses any more.

use std::collections::{BTreeSet, HashMap};
use std::fs::TryLockError;

use bollard::errors::Error;
use bollard::models::ImageSummary;
use bollard::query_parameters::ListImagesOptionsBuilder;

use super::images::{KEY_LABEL, SCOPE_LABEL, STEP_LABEL};
use super::{Docker, causes};
use crate::backend::Pruned;
use crate::backend::folders::lock_file;
use crate::environment::record::Record;
use crate::error::RuntimeError;

/// True for what flowgate writes: an image may say anything of itself.
fn is_plain(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Docker {
    /// Removes the environments and the images built from folders that are not the last ones of a flow that is still
    /// there; with `all`, every one. Images that containers use stay.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where the engine does not list its images.
    pub async fn prune(&self, all: bool) -> Result<Vec<Pruned>, RuntimeError> {
        let used: BTreeSet<String> = Record::all(&self.environments.state)
            .into_iter()
            .filter(|record| !all && record.flow.is_dir())
            .flat_map(|record| record.images)
            .collect();
        let mut pruned = Vec::new();
        for image in self.own_images(KEY_LABEL, false).await? {
            let names: Vec<String> =
                image.repo_tags.iter().filter(|name| !name.starts_with("<none>")).cloned().collect();
            // An image of somebody else's that is built upon an environment has its labels, too, but no such name.
            let key = image.labels.get(KEY_LABEL).map_or("", String::as_str);
            let end = format!("-{}", key.get(..16).unwrap_or(key));
            let is_own = |name: &String| name.ends_with(&end);
            if names.iter().any(|name| used.contains(name) || !is_own(name)) {
                continue;
            }
            let names = if names.is_empty() { vec![image.id.clone()] } else { names };
            for name in names {
                let stays = self.remove_image(&name).await.err().map(|error| causes(&error));
                pruned.push(Pruned { name, stays });
            }
        }
        Ok(pruned)
    }

    /// Removes images of builds that were broken off between their making and their naming. One whose address is
    /// locked is being built.
    pub(super) async fn sweep_images(&self) -> Result<(), RuntimeError> {
        let mut images = self.own_images(STEP_LABEL, true).await?;
        images.extend(self.own_images(KEY_LABEL, true).await?);
        for image in images {
            // The step of a build has what its base says beside the address that it is made for.
            let step = image.labels.get(STEP_LABEL).filter(|key| !key.is_empty());
            let own = image.labels.get(SCOPE_LABEL) == Some(&self.environments.scope.to_string());
            let lock = match (step, image.labels.get(KEY_LABEL)) {
                (Some(step), _) if is_plain(step) => self.lock_folder().join(step),
                (None, Some(key)) if own && is_plain(key) => self.lock_path(key),
                _ => continue,
            };
            let Ok(file) = lock_file(&lock) else { continue };
            match file.try_lock() {
                Ok(()) => drop(self.remove_image(&image.id).await),
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
            }
        }
        Ok(())
    }

    async fn own_images(&self, label: &str, nameless: bool) -> Result<Vec<ImageSummary>, RuntimeError> {
        let mut filters = HashMap::from([("label", vec![label])]);
        if nameless {
            filters.insert("dangling", vec!["true"]);
        }
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        self.engine.list_images(Some(options)).await.map_err(|error: Error| self.broken("list images", &error))
    }
}
