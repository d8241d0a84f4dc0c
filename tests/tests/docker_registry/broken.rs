//! A cache that does not do its part: the environment is built, and why is said.

use flowgate_tests::registry::{Fault, Registry, fake_registry, login};

use crate::alone;
use crate::place::Place;

#[test]
fn a_cache_that_fails_is_named_and_the_environment_is_built() {
    let _alone = alone();
    let Some(place) = Place::new("broken-cache") else { return };
    let Some(mut gone) = Registry::start(false) else { return };
    gone.stop();
    let before = place.holds();
    place.requires("six==1.16.0\n");
    let talkative = fake_registry(Fault::Talkative);
    place.log_in(&login(&talkative, "c29tZW9uZTpvcGVuIHNlc2FtZQ=="));
    let (broken, silent) = (fake_registry(Fault::Broken), fake_registry(Fault::Silent));
    let cases = [
        (&gone.address, "does not answer", "its registry did not answer before"),
        (&broken, "answers with an error", "its registry did not answer before"),
        (&silent, "", "its registry did not answer before"),
        (&talkative, "refuses it, asked with Docker's configuration", "refuses it, asked with Docker's configuration"),
    ];
    for (address, read, pushed) in cases {
        let cache = format!("{address}/env");
        let done = place.build(&["--cache-from", &cache, "--cache-to", &cache]);
        let name = format!("{cache}:trusted-{}", &place.key()[..16]);
        done.assert(0, &[&format!("{name} is not used: {address} {read}"), &format!("{name} is not pushed: "), pushed]);
        assert_eq!(done.builds(&place), 1);
        place.remove(&place.image());
        assert_eq!(place.holds(), before);
    }
    // Also where it is only pushed to.
    let done = place.build(&["--cache-to", &format!("{}/env", gone.address)]);
    done.assert(0, &["is not pushed", "does not answer"]);
    place.remove(&place.image());
    assert_eq!(place.holds(), before);
}

#[test]
fn a_cache_needs_a_registry_and_an_engine() {
    let Some(place) = Place::new("no-cache") else { return };
    place.build(&["--cache-from", "env"]).assert(2, &["`env` is not a repository of a registry", "REGISTRY/NAME"]);
    let venvs = [("FLOWGATE_CACHE_DIR", flowgate_tests::cache().display().to_string())];
    let done = place.start(&["run", "repo/flow", "--backend", "process", "--cache-from", "127.0.0.1:1/env"], &venvs);
    done.assert(0, &["cache is not used"]);
}

#[test]
fn what_is_broken_off_leaves_no_name_of_a_registry() {
    let _alone = alone();
    let Some(place) = Place::new("broken-off") else { return };
    let before = place.holds();
    place.requires("six==1.16.0\n");
    let cache = format!("{}/env", fake_registry(Fault::Silent));
    let build = |option| ["environment", "build", "repo/flow", option, cache.as_str()];
    assert_eq!(place.interrupted(&build("--cache-from"), "looking for"), Some(130));
    assert_eq!(place.holds(), before);
    assert_eq!(place.interrupted(&build("--cache-to"), "pushing"), Some(130));
    // What was built stays built.
    assert_eq!(place.plan()["cached"], true);
    place.remove(&place.image());
    assert_eq!(place.holds(), before);
}
