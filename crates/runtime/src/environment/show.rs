//! An environment in plain data, for people and for `--format json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::packages::Packages;
use super::{TrustScope, base, contract, image_name};
use crate::plan::{Base, EnvironmentPlan};

/// What the address of an environment covers, as its image says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The name of the base image.
    pub base: String,
    /// The base by its content.
    pub base_identity: String,
    /// The requirement lines in one spelling, nested files inlined.
    pub requirements: Vec<String>,
    /// The hosts of the package indexes.
    pub index_hosts: Vec<String>,
    /// The Python of flowgate's own base image.
    pub python: String,
    /// The platform.
    pub platform: String,
}

impl Inputs {
    /// Those of a plan upon a base.
    pub(crate) fn new(plan: &EnvironmentPlan, base_identity: &str) -> Self {
        Self {
            base: plan.base_name(),
            base_identity: base_identity.to_owned(),
            requirements: plan.requirements.iter().map(|line| line.normal.clone()).collect(),
            index_hosts: plan.indexes.hosts(),
            python: plan.python.clone(),
            platform: plan.platform.clone(),
        }
    }
}

/// An environment as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The flow's folder.
    pub flow: PathBuf,
    /// Its content address; `None` where the base is not there, so that nobody knows what it holds.
    pub key: Option<String>,
    /// The name of the base.
    pub base: String,
    /// The requirement lines, as written, with their places.
    pub requirements: Vec<(String, String)>,
    /// The hosts of the package indexes.
    pub index_hosts: Vec<String>,
    /// The Python of flowgate's own base image.
    pub python: String,
    /// The platform.
    pub platform: String,
    /// The image that the flow runs in.
    pub image: String,
    /// Whether the engine has it; `None` where no engine was asked.
    pub cached: Option<bool>,
    /// What is installed in it, where it is there and says so.
    pub packages: Option<Packages>,
    /// What may make two builds differ.
    pub warnings: Vec<String>,
    /// Which packages changed since the flow's last environment, where it was made now: a fragment.
    pub changed: Option<String>,
    /// Why it is not built: a lower-case fragment.
    pub refused: Option<String>,
}

impl Environment {
    /// A plan's, with what the engine says: nothing, or an image with or without a list of packages.
    pub(crate) fn new(
        plan: &EnvironmentPlan,
        key: Option<String>,
        image: String,
        found: Option<Option<Packages>>,
    ) -> Self {
        let cached = Some(found.is_some());
        Self { cached, packages: found.flatten(), ..Self::planned(plan, key, image) }
    }

    /// A plan's, where no engine answers; `None` where only that knows what the base holds.
    pub fn without_engine(plan: &EnvironmentPlan, scope: &TrustScope) -> Option<Self> {
        if plan.base != Base::Own {
            return None;
        }
        let key = plan.address(&base::recipe(&plan.python, &plan.platform));
        let image = if plan.is_bare() { plan.base_name() } else { image_name(scope, &key) };
        Some(Self::planned(plan, Some(key), image))
    }

    /// A plan's, where no engine was asked.
    pub(crate) fn planned(plan: &EnvironmentPlan, key: Option<String>, image: String) -> Self {
        Self {
            flow: plan.flow.clone(),
            key,
            base: plan.base_name(),
            requirements: plan.requirements.iter().map(|line| (line.line.clone(), line.place.clone())).collect(),
            index_hosts: if plan.is_bare() { Vec::new() } else { plan.indexes.hosts() },
            python: plan.python.clone(),
            platform: plan.platform.clone(),
            image,
            cached: None,
            packages: None,
            warnings: plan.warnings.clone(),
            changed: None,
            refused: match &plan.base {
                Base::Named(name) => contract::known_bad(name).map(|error| error.message),
                Base::Own | Base::Built(_) => None,
            },
        }
    }
}
