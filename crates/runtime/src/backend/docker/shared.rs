//! Environments that machines share through a registry: looked for there before a build, pushed there after one.
//!
//! A registry's tag is a nickname: what came must say the whole address and its trust scope. A registry that does not do
//! its part costs time and nothing else: the environment is built, and why is said.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::images::{Found, KEY_LABEL, RECIPE_LABEL, SCOPE_LABEL};
use super::transfer::Kind;
use super::{Docker, leftover};
use crate::backend::Progress;
use crate::environment::cache::CacheRepository;
use crate::environment::{TrustScope, TrustedImages};

/// Repositories whose registry did not answer, which is not waited for twice.
pub(super) type Away = Arc<Mutex<BTreeSet<CacheRepository>>>;

/// An image by what it must say of itself.
pub(super) struct Wanted<'w> {
    /// The engine's name for it.
    pub(super) name: &'w str,
    /// The scope whose tag it has in a registry.
    pub(super) scope: TrustScope,
    /// Its content address.
    pub(super) key: &'w str,
    labels: Vec<(&'static str, String)>,
}

impl<'w> Wanted<'w> {
    /// What a scope built for an address.
    pub(super) fn made(name: &'w str, scope: TrustScope, key: &'w str) -> Self {
        let labels = vec![(KEY_LABEL, key.to_owned()), (SCOPE_LABEL, scope.to_string())];
        Self { name, scope, key, labels }
    }

    /// flowgate's own base image. Its recipe leaves a flow no say in it, so that all scopes use the trusted one's.
    pub(super) fn base(name: &'w str, recipe: &'w str) -> Self {
        Self { name, scope: TrustScope::Trusted, key: recipe, labels: vec![(RECIPE_LABEL, recipe.to_owned())] }
    }

    fn is(&self, found: &Found) -> bool {
        self.labels.iter().all(|(label, value)| found.label(label) == Some(value))
    }
}

impl Docker {
    /// The image from the registry, where it has it and this process may use it.
    pub(super) async fn fetch(&self, wanted: &Wanted<'_>, progress: Progress<'_>) -> Option<Found> {
        let environments = &self.environments;
        let from = environments.cache.from.as_ref()?;
        if wanted.scope != environments.scope && environments.trusted_images == TrustedImages::No {
            return None;
        }
        let reference = from.reference(&wanted.scope, wanted.key);
        if self.is_away(from) {
            progress.step(&format!("not looking for {reference}: its registry did not answer before"));
            return None;
        }
        progress.step(&format!("looking for {reference}"));
        let note = |why: &str| progress.note(&format!("{reference} is not used: {why}."));
        let name = Name::new(self, &reference);
        if let Err(refusal) = self.pull(&reference, progress).await {
            match refusal.kind {
                Kind::Missing => progress.step(&format!("{from} does not have it")),
                Kind::Away => {
                    self.keep_away(from);
                    note(&refusal.message);
                }
                Kind::Denied if !environments.registries.is_anonymous() => {
                    note(&format!("{}; {}", refusal.message, refusal.hint));
                }
                Kind::Denied | Kind::Full | Kind::Other => note(&refusal.message),
            }
            return None;
        }
        let checked = match self.find(&reference).await {
            Ok(Some(found)) if !wanted.is(&found) => Err("it does not say that it is this environment".to_owned()),
            Ok(Some(found)) => {
                let fits = self.fits(&reference, &found, &environments.platform).map_err(|error| error.message);
                let named = async { self.tag(&found.id, wanted.name).await.map_err(|error| error.message) };
                match fits {
                    Ok(()) => named.await.map(|()| found),
                    Err(why) => Err(why),
                }
            }
            Ok(None) => Err("the engine pulled it, and does not have it".to_owned()),
            Err(error) => Err(error.message),
        };
        name.remove().await;
        match checked {
            Ok(found) => {
                progress.step(&format!("using {reference}"));
                Some(found)
            }
            Err(why) => {
                note(&format!("{why}; it is removed again"));
                None
            }
        }
    }

    /// Pushes an image that was built here, where the door wants it shared.
    pub(super) async fn share(&self, wanted: &Wanted<'_>, found: &Found, progress: Progress<'_>) {
        let Some(to) = &self.environments.cache.to else { return };
        if wanted.scope != self.environments.scope {
            return;
        }
        let reference = to.reference(&wanted.scope, wanted.key);
        let note = |why: &str| progress.note(&format!("{reference} is not pushed: {why}."));
        if self.is_away(to) {
            return note("its registry did not answer before");
        }
        progress.step(&format!("pushing {reference}"));
        let name = Name::new(self, &reference);
        let pushed = match self.tag(&found.id, &reference).await {
            Ok(()) => self.push(&reference, progress).await,
            Err(error) => return note(&error.message),
        };
        name.remove().await;
        match pushed {
            Ok(()) => progress.step(&format!("pushed {reference}")),
            Err(refusal) => {
                if refusal.kind == Kind::Away {
                    self.keep_away(to);
                }
                note(&refusal.message);
            }
        }
    }

    fn is_away(&self, repository: &CacheRepository) -> bool {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).contains(repository)
    }

    fn keep_away(&self, repository: &CacheRepository) {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.clone());
    }
}

/// A registry's name for an image, which the engine has while it pulls or pushes, also where that is broken off.
struct Name<'d> {
    docker: &'d Docker,
    name: String,
    is_away: bool,
}

impl<'d> Name<'d> {
    fn new(docker: &'d Docker, name: &str) -> Self {
        Self { docker, name: name.to_owned(), is_away: false }
    }

    /// Takes the name away, and the image with it where it has no other.
    async fn remove(mut self) {
        // One that is not there is as well.
        let _ = self.docker.remove_image(&self.name).await;
        self.is_away = true;
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        if !self.is_away {
            // What cannot be removed now has the label by which `prune` knows it.
            leftover::remove_name(&self.docker.address, &self.name);
        }
    }
}
