//! Environments that one machine builds and another uses.

use flowgate_tests::engine::base_image;
use flowgate_tests::registry::{ENCODED, PASSWORD, Registry};
use flowgate_tests::{all_files, contains};

use crate::alone;
use crate::place::Place;

#[test]
fn an_environment_comes_back_from_a_registry_without_a_build() {
    let _alone = alone();
    let Some(place) = Place::new("cache") else { return };
    let Some(registry) = Registry::start(true) else { return };
    place.log_in(&registry.login());
    let before = place.holds();
    let cache = format!("{}/flows/env", registry.address);
    place.requires("six==1.16.0\n");
    let (key, image) = (place.key(), place.image());
    let tag = format!("trusted-{}", &key[..16]);
    let name = format!("{cache}:{tag}");

    let both = ["--cache-from", cache.as_str(), "--cache-to", cache.as_str()];
    let first = place.build(&both);
    first.assert(0, &[&format!("{cache} does not have it"), &format!("pushed {name}")]);
    assert_eq!(first.builds(&place), 1);
    assert_eq!(registry.tags("flows/env"), [tag.as_str()]);
    let built = place.docker(&["image", "inspect", "--format", "{{.Id}}", &image]);
    assert!(!place.docker(&["images"]).contains(&registry.address));
    no_trace_of_the_password(&place, &image, &registry);

    // As on another machine: nothing of it is here.
    place.remove(&image);
    assert_eq!(place.holds(), before);
    let second = place.build(&both);
    second.assert(0, &[&format!("using {name}")]);
    assert_eq!((second.builds(&place), second.said("pushing")), (0, false), "{:?}", second.finished);
    assert_eq!(second.finished.stdout, first.finished.stdout);
    assert_eq!(place.docker(&["image", "inspect", "--format", "{{.Id}}", &image]), built);
    assert!(!place.docker(&["images"]).contains(&registry.address));
    assert_eq!(place.plan()["cached"], true);
    // What is here is not asked for.
    assert!(!place.build(&both).said(&cache));

    place.remove(&image);
    let ran = place.start(&["run", "repo/flow", "--backend", "docker", "--cache-from", &cache], &[]);
    ran.assert(0, &[&format!("using {name}"), "passed"]);
    assert_eq!(ran.builds(&place), 0);

    // The right tag, and an image that says another address, or another scope.
    let label = |words: &str| {
        let folder = place.folder.path().join("forged");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("Dockerfile"), format!("FROM {image}\nLABEL {words}\n")).unwrap();
        place.docker(&["build", "--quiet", "--tag", "flowgate-test-forged", "forged"]);
        place.push("flowgate-test-forged", &name);
        place.remove("flowgate-test-forged");
        place.remove(&image);
    };
    let other_key = format!("{}{}", &key[..16], "0".repeat(48));
    for words in
        [format!("flowgate.environment.key={other_key}"), "flowgate.environment.scope=pull-request:o1/r#7".to_owned()]
    {
        label(&words);
        let forged = place.build(&["--cache-from", &cache]);
        let refused = format!("{name} is not used: it does not say that it is this environment; it is removed again");
        forged.assert(0, &[&refused]);
        assert_eq!(forged.builds(&place), 1);
        assert!(!place.docker(&["images"]).contains(&registry.address));
    }
    place.remove(&image);
    assert_eq!(place.holds(), before);
}

/// Nor in what is pushed: the layers are those of the image.
fn no_trace_of_the_password(place: &Place, image: &str, registry: &Registry) {
    let texts = [
        ("history", place.docker(&["history", "--no-trunc", image]).into_bytes()),
        ("inspect", place.docker(&["inspect", image]).into_bytes()),
        ("state", all_files(&place.folder.path().join("cache"))),
        ("registry", all_files(&registry.folder.path().join("data"))),
    ];
    for (what, bytes) in texts {
        assert!(!bytes.is_empty(), "{what}");
        for secret in [PASSWORD, ENCODED.trim_end_matches('=')] {
            assert!(!contains(&bytes, secret), "the password stands in the {what}");
        }
    }
}

#[test]
fn what_a_pull_request_pushed_is_its_own() {
    let _alone = alone();
    let Some(place) = Place::new("cache-scopes") else { return };
    let Some(registry) = Registry::start(true) else { return };
    place.log_in(&registry.login());
    let before = place.holds();
    let cache = format!("{}/env", registry.address);
    place.requires("idna==3.7\n");
    let sixteen = place.key()[..16].to_owned();
    let trusted = format!("trusted-{sixteen}");
    let of = |number: u64| {
        let tags: Vec<String> = registry.tags("env");
        tags.into_iter().find(|tag| tag.starts_with(&format!("pr{number}-")))
    };
    let forget = || {
        let (_, images) = place.engine.ask("GET", "/images/json");
        let names =
            images.as_array().unwrap().iter().flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
        let names = names.filter_map(|name| name.as_str()).filter(|name| name.ends_with(&sixteen));
        names.for_each(|name| place.remove(name));
        assert_eq!(place.holds(), before);
    };

    let seven = place.pull_request(7, 1, &cache);
    seven.assert(0, &["pushed"]);
    assert_eq!((seven.builds(&place), of(7).is_some()), (1, true));
    forget();
    let again = place.pull_request(7, 1, &cache);
    assert_eq!(again.assert(0, &["using"]).builds(&place), 0);
    forget();

    // Neither main nor another pull request looks at it.
    let main = place.build(&["--cache-from", &cache, "--cache-to", &cache]);
    main.assert(0, &[&format!("looking for {cache}:{trusted}"), "does not have it", "pushed"]);
    assert_eq!((main.builds(&place), main.said(":pr")), (1, false), "{:?}", main.finished);
    forget();
    // What main pushed is for all who may read it.
    let eight = place.pull_request(8, 1, &cache);
    eight.assert(0, &[&format!("using {cache}:{trusted}")]);
    assert_eq!((eight.builds(&place), of(8)), (0, None));
    forget();

    // A stranger has no credential, and pushes nothing.
    let stranger = place.pull_request(9, 2, &cache);
    stranger.assert(
        0,
        &[
            "the registry cache is asked without a credential, and nothing is pushed to it",
            "refuses it, asked anonymously (untrusted code has no credential)",
        ],
    );
    assert_eq!((stranger.builds(&place), of(9)), (1, None));
    forget();
    assert_eq!(registry.tags("env").len(), 2);
}

#[test]
fn a_stranger_uses_what_everybody_may_read() {
    let _alone = alone();
    let Some(place) = Place::new("cache-stranger") else { return };
    let Some(registry) = Registry::start(false) else { return };
    let before = place.holds();
    let cache = format!("{}/env", registry.address);
    place.requires("six==1.15.0\n");
    place.build(&["--cache-to", &cache]).assert(0, &["pushed"]);
    let image = place.image();
    place.remove(&image);
    let stranger = place.pull_request(9, 2, &cache);
    stranger.assert(0, &[&format!("using {cache}:trusted-")]);
    assert_eq!((stranger.builds(&place), registry.tags("env").len()), (0, 1));
    place.remove(&image);
    // Another base is nothing that a stranger could have fetched.
    let private = format!("{}/private:1", registry.address);
    place.push(&base_image(), &private);
    place.names(&private);
    place.docker(&["pull", "--quiet", &private]);
    place.build(&["--cache-to", &cache]).assert(0, &["pushed"]);
    let image = place.image();
    place.remove(&image);
    let stranger = place.pull_request(9, 2, &cache);
    assert_eq!(stranger.assert(0, &[]).builds(&place), 1, "{:?}", stranger.finished);
    assert!(!stranger.said(":trusted-"), "{:?}", stranger.finished);
    let (_, images) = place.engine.ask("GET", "/images/json");
    for name in images.as_array().unwrap().iter().flat_map(|one| one["RepoTags"].as_array().into_iter().flatten()) {
        let name = name.as_str().unwrap();
        if name.starts_with("flowgate-env:pr9-") {
            place.remove(name);
        }
    }
    place.remove(&private);
    assert_eq!(place.holds(), before);
}
