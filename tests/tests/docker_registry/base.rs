//! Base images in a registry that wants a password.

use std::os::unix::fs::PermissionsExt;

use flowgate_tests::registry::{Fault, PASSWORD, Registry, USER, fake_registry, login};

use crate::alone;
use crate::place::Place;

/// An image without a single file, which nothing but its pull needs.
pub(crate) fn tiny(place: &Place) -> String {
    let name = format!("flowgate-test-tiny:{}", std::process::id());
    place.folder.write("empty.tar", [0; 1024]);
    place.docker(&["import", "--change", "CMD [\"x\"]", "empty.tar", &name]);
    name
}

#[test]
fn a_private_base_image_is_pulled_with_dockers_credentials() {
    let _alone = alone();
    let Some(place) = Place::new("private-base") else { return };
    let Some(mut registry) = Registry::start(true) else { return };
    let address = registry.address.clone();
    let image = format!("{address}/team/base:1");
    let before = place.holds();
    place.log_in(&registry.login());
    let tiny = tiny(&place);
    place.push(&tiny, &image);
    place.remove(&tiny);
    place.names(&image);
    place.requires("six\n");
    // It was pulled where what follows is that it gives no runtime.
    let is_pulled = |place: &Place| {
        place.build(&[]).assert(4, &["it has no `sh`"]);
        place.remove(&image);
    };
    is_pulled(&place);
    // A helper gives it as well.
    let helper = format!("#!/bin/sh\ncat >/dev/null\necho '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n");
    place.folder.write("bin/docker-credential-test", helper);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.folder.path().join("bin/docker-credential-test"), mode).unwrap();
    place.log_in(&format!("{{\"credHelpers\":{{\"{address}\":\"test\"}}}}"));
    is_pulled(&place);

    // `someone:wrong`
    place.log_in(&login(&address, "c29tZW9uZTp3cm9uZw=="));
    let wrong = place.build(&[]);
    wrong.assert(4, &[&image, &format!("{address} refuses it, asked with Docker's configuration"), "docker login"]);
    assert!(!wrong.said("c29tZW9uZTp3cm9uZw"), "{:?}", wrong.finished);
    // Another registry's credential goes nowhere.
    place.log_in(&login("127.0.0.1:1", "c29tZW9uZTpvcGVuIHNlc2FtZQ=="));
    place
        .build(&[])
        .assert(4, &[&format!("{address} refuses it, asked anonymously"), &format!("docker login {address}")]);
    place.log_in(&format!("{{\"credHelpers\":{{\"{address}\":\"absent\"}}}}"));
    place.build(&[]).assert(4, &["unable to communicate with credential helper", "docker login"]);

    place.log_in(&registry.login());
    place.names(&image.replace("base:1", "base:2"));
    place.build(&[]).assert(4, &[&format!("{address} has no such image"), "check the name and its tag"]);
    registry.stop();
    place.build(&[]).assert(8, &[&format!("{address} does not answer"), "try again later"]);
    assert_eq!(place.holds(), before);
}

#[test]
fn a_registry_that_fails_is_named_and_leaves_nothing() {
    let _alone = alone();
    let Some(place) = Place::new("broken-base") else { return };
    let before = place.holds();
    place.requires("six\n");
    let broken = fake_registry(Fault::Broken);
    place.names(&format!("{broken}/base:1"));
    place.build(&[]).assert(8, &[&format!("{broken} answers with an error"), "500", "try again later"]);
    let silent = fake_registry(Fault::Silent);
    place.names(&format!("{silent}/base:1"));
    place.build(&["--build-timeout", "3"]).assert(8, &[&format!("{silent} was not done within 3 s")]);
    // Without a limit of ours the engine's own counts.
    place.build(&[]).assert(8, &[&format!("{silent} "), "try again later"]);
    let talkative = fake_registry(Fault::Talkative);
    place.names(&format!("{talkative}/base:1"));
    place.log_in(&login(&talkative, "c29tZW9uZTpvcGVuIHNlc2FtZQ=="));
    place.build(&[]).assert(4, &[&format!("{talkative} refuses it, asked with Docker's configuration")]);
    assert_eq!(place.holds(), before);
}
