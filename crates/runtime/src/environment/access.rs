//! How the packages of an environment are reached: through a gate of its own, which knows the indexes that the door
//! allows and has a token only where the plan asks for one.

use std::sync::Arc;

use flowgate_flow::config::FeedConfig;

use crate::error::{RuntimeError, Stage};
use crate::gate::{Feed, Gate, GateOptions, GatePolicy};
use crate::identity::{Identity, Resource, Source};
use crate::plan::{EnvironmentPlan, PLACEHOLDER};

/// What a door lets builds reach.
#[derive(Debug, Clone)]
pub struct PackageAccess {
    /// Where downloads are kept, and how long they may take.
    pub gate: GateOptions,
    /// Whose token stands for `{private}`.
    pub identity: Arc<Identity>,
    /// Indexes that the door itself names, beside those of the plan.
    pub feeds: Vec<FeedConfig>,
    /// How a user of the door allows one more: see [`GatePolicy::with_advice`].
    pub feed_advice: &'static str,
}

impl PackageAccess {
    /// A gate for one build.
    ///
    /// # Errors
    /// A feed that is no URL, and a plan that asks for a token where no identity gives one: before anything is built.
    pub(crate) async fn open(&self, plan: &EnvironmentPlan) -> Result<Arc<Gate>, RuntimeError> {
        let fail = |message: String| RuntimeError::new(Stage::Environment, message);
        let token = if plan.indexes.is_private() {
            let place = plan.options.iter().find(|option| option.line.contains(PLACEHOLDER));
            let place = place.map_or("the requirements file", |option| option.place.as_str());
            let identity = self.identity.or_client(plan.identity.as_deref());
            Some(identity.token(Resource::PackageFeed).await.map_err(|error| {
                fail(format!("{place}: `{PLACEHOLDER}` stands for a token, and {error}")).with_hint(error.hint())
            })?)
        } else {
            None
        };
        let mut policy = GatePolicy::public().with_advice(self.feed_advice);
        for config in plan.feeds.iter().chain(&self.feeds) {
            let named = |cause: String| fail(format!("the feed `{}`: {cause}", config.url));
            let mut feed = Feed::new(&config.url).map_err(named)?;
            if config.private_network {
                feed = feed.on_private_network();
            }
            // Azure's own token is for Azure's feeds; one that the user gave is for the feeds of its URLs.
            if let Some(token) = token.as_ref().filter(|token| feed.is_azure() || token.source == Source::Given) {
                feed = feed.with_credential(token.secret.clone()).map_err(named)?;
            }
            policy = policy.with(feed);
        }
        Gate::new(policy, &self.gate)
    }

    /// A gate to the public index, for packages that flowgate itself names.
    pub(crate) fn public(&self) -> Result<Arc<Gate>, RuntimeError> {
        Gate::new(GatePolicy::public(), &self.gate)
    }
}
