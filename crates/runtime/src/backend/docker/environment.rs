//! From a plan to an image: look up by content address, else build under the address's lock.

use std::fs::File;
use std::path::PathBuf;

use super::Docker;
use super::commit::Words;
use super::images::{Found, INPUTS_LABEL, KEY_LABEL, PACKAGES_LABEL, RECIPE_LABEL, SCOPE_LABEL};
use super::shared::Wanted;
use crate::backend::Progress;
use crate::backend::folders::{blocking, lock, lock_file};
use crate::environment::base;
use crate::environment::packages::Packages;
use crate::environment::record::Record;
use crate::environment::show::{Environment, Inputs};
use crate::environment::{TrustScope, TrustedImages, image_name};
use crate::error::RuntimeError;
use crate::plan::{Base, EnvironmentPlan};

/// An environment that the engine has.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) found: Found,
    /// Which packages changed since the flow's last environment.
    pub(super) changed: Option<String>,
}

/// What an environment is built upon, as far as its address needs it.
pub(super) struct BaseImage {
    /// As the engine knows it.
    pub(super) name: String,
    pub(super) identity: String,
    /// Where the engine was asked.
    pub(super) found: Option<Found>,
}

impl Docker {
    /// The environment of a plan; it is built where the engine does not have it.
    pub(super) async fn environment(
        &self,
        plan: &EnvironmentPlan,
        progress: Progress<'_>,
    ) -> Result<Made, RuntimeError> {
        let mut docker = self.clone();
        docker.environments.registries = self.environments.registries.or_client(plan.identity.as_deref());
        docker.made(plan, progress).await
    }

    async fn made(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Made, RuntimeError> {
        let base = self.base(plan, progress).await?;
        let base_name = base.name.clone();
        let key = plan.address(&base.identity);
        let (name, found) = if plan.is_bare() {
            (base_name.clone(), self.base_image(base, plan, progress).await?)
        } else {
            self.upon(base, plan, &key, progress).await?
        };
        let changed = self.record(plan, &key, &name, &base_name, &found).unwrap_or_else(|note| {
            progress.note(&note);
            None
        });
        Ok(Made { name, key, found, changed })
    }

    /// The image of an address: what was built before, or what is built now.
    async fn upon(
        &self,
        base: BaseImage,
        plan: &EnvironmentPlan,
        key: &str,
        progress: Progress<'_>,
    ) -> Result<(String, Found), RuntimeError> {
        if let Some(there) = self.look_up_for(plan, key).await? {
            return Ok(there);
        }
        self.sweep().await?;
        self.sweep_images().await?;
        let scope = &self.environments.scope;
        let name = image_name(scope, key);
        let _lock = self.lock(key, progress).await?;
        // Another one may have built it while we waited.
        if let Some(found) = self.look_up(&name, key, scope).await? {
            return Ok((name, found));
        }
        for scope in self.scopes(plan) {
            let name = image_name(&scope, key);
            if let Some(found) = self.fetch(&Wanted::made(&name, scope, key), progress).await {
                return Ok((name, found));
            }
        }
        let inputs = Inputs::new(plan, &base.identity);
        let base = self.base_image(base, plan, progress).await?;
        let found = self.build(plan, &base, &inputs, key, &name, progress).await?;
        self.share(&Wanted::made(&name, scope.clone(), key), &found, progress).await;
        Ok((name, found))
    }

    /// The environment of a plan that stands upon flowgate's own base, where the engine has it: one question. `None` says
    /// that [`Docker::make`] has something to do, if only to ask more.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where the engine does not answer.
    pub async fn have(&self, plan: &EnvironmentPlan) -> Result<Option<Environment>, RuntimeError> {
        if plan.base != Base::Own || plan.is_bare() {
            return Ok(None);
        }
        let key = plan.address(&base::recipe(&plan.python, &plan.platform));
        let Some((name, found)) = self.look_up_for(plan, &key).await? else { return Ok(None) };
        let recorded = self.record(plan, &key, &name, &plan.base_name(), &found);
        let mut environment = Environment::new(plan, Some(key), name, Some(packages_of(&found)));
        match recorded {
            Ok(changed) => environment.changed = changed,
            Err(note) => environment.warnings.push(note),
        }
        Ok(Some(environment))
    }

    /// What is installed in an image, as flowgate wrote it there; `None` where it did not, or the image is gone.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where the engine does not answer.
    pub async fn packages_of(&self, image: &str) -> Result<Option<Packages>, RuntimeError> {
        Ok(self.find(image).await?.and_then(|found| packages_of(&found)))
    }

    /// Builds the environment of a plan where the engine does not have it, and says what it is.
    ///
    /// # Errors
    /// [`crate::Stage::Environment`] with what could not be built and why, or [`Stage::Infrastructure`].
    pub async fn make(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<Environment, RuntimeError> {
        let made = self.environment(plan, progress).await?;
        let packages = Some(packages_of(&made.found));
        Ok(Environment { changed: made.changed, ..Environment::new(plan, Some(made.key), made.name, packages) })
    }

    /// What the environment of a plan is, and whether the engine has it. Builds nothing, pulls nothing.
    ///
    /// # Errors
    /// [`crate::Stage::Infrastructure`] where the engine does not answer.
    pub async fn inspect(&self, plan: &EnvironmentPlan) -> Result<Environment, RuntimeError> {
        let named = |found: Option<Found>| found.map(|found| (plan.base_name(), found));
        let (recipe, base) = match &plan.base {
            Base::Own if plan.is_bare() => (Some(base::recipe(&plan.python, &plan.platform)), {
                named(self.find(&plan.base_name()).await?.filter(|found| self.is_current(plan, found)))
            }),
            Base::Own => (Some(base::recipe(&plan.python, &plan.platform)), None),
            Base::Named(name) => (None, named(self.find(name).await?)),
            Base::Built(build) => (None, self.built(build).await?),
        };
        let identity = recipe.or_else(|| base.as_ref().map(|(_, found)| found.identity()));
        let key = identity.map(|identity| plan.address(&identity));
        let own = match &key {
            Some(key) if !plan.is_bare() => image_name(&self.environments.scope, key),
            _ => plan.base_name(),
        };
        let mut found = None;
        if plan.is_bare() {
            found = base;
        } else if let Some(key) = &key {
            found = self.look_up_for(plan, key).await?;
        }
        Ok(match found {
            Some((name, image)) => Environment::new(plan, key, name, Some(packages_of(&image))),
            None => Environment::new(plan, key, own, None),
        })
    }

    /// The base's part of the address. flowgate's own needs no engine.
    async fn base(&self, plan: &EnvironmentPlan, progress: Progress<'_>) -> Result<BaseImage, RuntimeError> {
        let (name, found) = match &plan.base {
            Base::Own => {
                let identity = base::recipe(&plan.python, &plan.platform);
                return Ok(BaseImage { name: plan.base_name(), identity, found: None });
            }
            Base::Named(name) => (name.clone(), self.usable(name, progress).await?),
            Base::Built(build) => self.build_image(build, progress).await?,
        };
        self.fits(&name, &found, &plan.platform)?;
        Ok(BaseImage { name, identity: found.identity(), found: Some(found) })
    }

    /// The base itself; flowgate's own is built where the engine does not have it as the recipe says.
    async fn base_image(
        &self,
        base: BaseImage,
        plan: &EnvironmentPlan,
        progress: Progress<'_>,
    ) -> Result<Found, RuntimeError> {
        if let Some(found) = base.found {
            return Ok(found);
        }
        progress.step(&format!("looking up image {}", base.name));
        match self.find(&base.name).await?.filter(|found| found.label(RECIPE_LABEL) == Some(&base.identity)) {
            Some(found) => Ok(found),
            None => self.build_base(&plan.python, &plan.platform, None, progress).await,
        }
    }

    fn is_current(&self, plan: &EnvironmentPlan, found: &Found) -> bool {
        plan.base != Base::Own || found.label(RECIPE_LABEL) == Some(&base::recipe(&plan.python, &plan.platform))
    }

    /// The scopes whose images a plan may use, its own first. Untrusted code must not read in an image what it could not
    /// have fetched itself.
    fn scopes(&self, plan: &EnvironmentPlan) -> Vec<TrustScope> {
        let own = self.environments.scope.clone();
        let open = plan.base == Base::Own && !plan.indexes.is_private();
        let trusted = match self.environments.trusted_images {
            TrustedImages::No => false,
            TrustedImages::WithoutSecrets => open,
            TrustedImages::All => true,
        };
        let trusted = (trusted && own != TrustScope::Trusted).then_some(TrustScope::Trusted);
        std::iter::once(own).chain(trusted).collect()
    }

    /// The image of an address, where the engine has it in a scope that a plan may use, and its name.
    async fn look_up_for(&self, plan: &EnvironmentPlan, key: &str) -> Result<Option<(String, Found)>, RuntimeError> {
        for scope in self.scopes(plan) {
            let name = image_name(&scope, key);
            if let Some(found) = self.look_up(&name, key, &scope).await? {
                return Ok(Some((name, found)));
            }
        }
        Ok(None)
    }

    /// The image of an address, where the engine has it. The name is a nickname: the whole address and the scope
    /// must be the same.
    pub(super) async fn look_up(
        &self,
        name: &str,
        key: &str,
        scope: &TrustScope,
    ) -> Result<Option<Found>, RuntimeError> {
        let scope = scope.to_string();
        let found = self.find(name).await?;
        Ok(found.filter(|found| found.label(KEY_LABEL) == Some(key) && found.label(SCOPE_LABEL) == Some(&scope)))
    }

    /// Held while an address is built, by whichever process of this machine does it.
    pub(super) async fn lock(&self, name: &str, progress: Progress<'_>) -> Result<File, RuntimeError> {
        let path = self.lock_path(name);
        let file = lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                progress.step("waiting for another flowgate that builds the same");
                blocking(move || lock(&path)).await
            }
            Err(std::fs::TryLockError::Error(error)) => Err(RuntimeError::disk("lock", &path, &error)),
        }
    }

    pub(super) fn lock_path(&self, name: &str) -> PathBuf {
        self.lock_folder().join(self.lock_name(name))
    }

    pub(super) fn lock_name(&self, name: &str) -> String {
        format!("{}-{name}", self.environments.scope.tag())
    }

    pub(super) fn lock_folder(&self) -> PathBuf {
        self.environments.state.join("locks")
    }

    async fn build(
        &self,
        plan: &EnvironmentPlan,
        base: &Found,
        inputs: &Inputs,
        key: &str,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<Found, RuntimeError> {
        let words = |installed: &Packages| -> Result<Words, serde_json::Error> {
            Ok(Words {
                labels: [
                    (KEY_LABEL.to_owned(), key.to_owned()),
                    (SCOPE_LABEL.to_owned(), self.environments.scope.to_string()),
                    // It is no base image any more.
                    (RECIPE_LABEL.to_owned(), String::new()),
                    (INPUTS_LABEL.to_owned(), serde_json::to_string(inputs)?),
                    (PACKAGES_LABEL.to_owned(), serde_json::to_string(installed)?),
                ]
                .into(),
                ..Words::default()
            })
        };
        self.install(plan, base, name, &words, progress).await
    }

    /// Remembers which environment a flow has, and says what changed since its last one. Where it cannot, a flow runs all
    /// the same: the error is a note.
    fn record(
        &self,
        plan: &EnvironmentPlan,
        key: &str,
        name: &str,
        base: &str,
        found: &Found,
    ) -> Result<Option<String>, String> {
        let packages = packages_of(found).unwrap_or_default();
        let scope = self.environments.scope.to_string();
        let images = vec![name.to_owned(), base.to_owned()];
        // A few kilobytes, mostly the same ones: a thread for them would take longer.
        let record = Record { flow: plan.flow.clone(), scope, key: key.to_owned(), images, packages };
        record.keep(&self.environments.state).map_err(|error| {
            let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("`environment prune` will not know that this environment is used: {}{hint}.", error.message)
        })
    }
}

/// What an image says is installed in it; `None` where it says nothing.
fn packages_of(found: &Found) -> Option<Packages> {
    serde_json::from_str(found.label(PACKAGES_LABEL)?).ok()
}
