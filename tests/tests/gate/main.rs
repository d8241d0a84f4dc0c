//! The package gate and the installer through their public doors, with real installers in a
//! Python of their own. Hostile and broken indexes are `FakeIndex`es on loopback.
#![cfg(unix)]

mod place;

use std::path::Path;
use std::sync::Arc;

use flowgate_runtime::gate::{Gate, GateOptions, GatePolicy};
use flowgate_runtime::installer::InstallRequest;
use place::{Place, With};

fn gate(policy: GatePolicy, cache: &Path) -> Arc<Gate> {
    Gate::new(policy, &GateOptions::new(cache.to_owned())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_the_public_index_arrive_and_are_kept() {
    let cache = tempfile::tempdir().unwrap();
    let gate = gate(GatePolicy::public(), cache.path());
    for with in [With::Pip, With::Uv] {
        let Some(mut place) = Place::new(with).await else { continue };
        let installed = place.install(&gate, &["requests==2.32.3", "six"]).await.unwrap();
        assert_eq!(installed.after["requests"], "2.32.3");
        assert!(!installed.before.contains_key("requests") && installed.after.contains_key("idna"), "{installed:?}");
        assert_eq!(installed.troubles, []);
        assert_eq!(place.python("import requests; print(requests.__version__)"), "2.32.3");
        let replay =
            InstallRequest { requirements: vec!["requests".to_owned()], replay: true, ..InstallRequest::default() };
        let mut again = Place::new(with).await.unwrap();
        let replayed = again.request(&gate, replay).await.unwrap();
        assert_eq!(replayed.after["requests"], "2.32.3");
    }
}
