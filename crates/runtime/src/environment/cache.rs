//! Environments that machines share through a registry: under which names.

use std::fmt;
use std::str::FromStr;

use oci_client::Reference;

use super::TrustScope;

/// Where environments are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryCache {
    /// Where they are looked for before they are built.
    pub from: Option<CacheRepository>,
    /// Where they are pushed once they are built.
    pub to: Option<CacheRepository>,
}

impl RegistryCache {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }
}

/// A repository of a registry, with the registry's name and without a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheRepository(String);

impl CacheRepository {
    /// The name of an environment in it: a tag of the trust scope (`trusted`, `pr7-...`) and the first 16 digits of the
    /// key. What one scope pushed has no name in another.
    pub(crate) fn reference(&self, scope: &TrustScope, key: &str) -> String {
        format!("{}:{}-{}", self.0, scope.tag(), key.get(..16).unwrap_or(key))
    }
}

impl fmt::Display for CacheRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CacheRepository {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Names without a registry would be completed with Docker Hub's, and then be another text.
        match Reference::from_str(&format!("{text}:tag")) {
            Ok(name) if !text.contains('@') && name.whole() == format!("{text}:tag") => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "`{text}` is not a repository of a registry; write REGISTRY/NAME without a tag, for example \
                 `contoso.azurecr.io/flowgate-env`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_environment_has_one_name_in_each_scope() {
        let key = "0123456789abcdef0123456789abcdef";
        let name =
            |repository: &str, scope: &TrustScope| repository.parse::<CacheRepository>().unwrap().reference(scope, key);
        assert_eq!(name("127.0.0.1:5000/env", &TrustScope::Trusted), "127.0.0.1:5000/env:trusted-0123456789abcdef");
        let scope = |number| TrustScope::PullRequest { repository: "o/r".to_owned(), number };
        let of_seven = name("contoso.azurecr.io/flows/env", &scope(7));
        assert!(of_seven.starts_with("contoso.azurecr.io/flows/env:pr7-"), "{of_seven}");
        assert!(of_seven.ends_with("-0123456789abcdef"), "{of_seven}");
        assert_ne!(of_seven, name("contoso.azurecr.io/flows/env", &scope(8)));
    }

    #[test]
    fn a_repository_names_its_registry_and_no_tag() {
        for wrong in [
            "contoso.azurecr.io/env:1",
            "env",
            "contoso/env",
            "contoso.azurecr.io/",
            "https://contoso.azurecr.io/env",
            "",
        ] {
            let error = wrong.parse::<CacheRepository>().expect_err(wrong);
            assert!(error.starts_with(&format!("`{wrong}` is not a repository of a registry")), "{error}");
        }
    }
}
