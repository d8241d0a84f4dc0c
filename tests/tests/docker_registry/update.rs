//! `flowgate runtime update`: to the newest version that a registry has, and to an image by its name.

use flowgate_tests::engine::base_image;
use flowgate_tests::registry::Registry;
use serde_json::Value;

use crate::alone;
use crate::place::Place;

#[test]
fn a_runtime_moves_to_the_newest_base_image() {
    let _alone = alone();
    let Some(place) = Place::new("update") else { return };
    let Some(mut registry) = Registry::start(false) else { return };
    let image = |tag: &str| format!("{}/team/base:{tag}", registry.address);
    let (old, new) = (image("20240101.v1"), image("20250101.v10"));
    // The registry says which versions there are; the engine has both already, and they differ.
    let tiny = crate::base::tiny(&place);
    for tag in ["20240101.v1", "20250101.v9", "20250101.v10", "latest"] {
        place.push(&tiny, &image(tag));
    }
    place.remove(&tiny);
    place.docker(&["tag", &base_image(), &old]);
    let container = format!("flowgate-test-update-{}", std::process::id());
    place.docker(&["create", "--name", &container, &base_image(), "true"]);
    place.docker(&["commit", "--change", "ENV TEAM=contoso", &container, &new]);
    place.docker(&["rm", &container]);

    let name = format!("update-{}", std::process::id());
    let run = |arguments: &[&str]| place.start(&[&["runtime"], arguments].concat(), &[]);
    let flow = || std::fs::read_to_string(place.folder.path().join("repo/flow/flow.dag.yaml")).expect("the flow");
    let image_of = || {
        let shown = run(&["show", &name, "--format", "json"]);
        let shown: Value = serde_json::from_str(&shown.finished.stdout).expect("JSON");
        shown["runtimes"][0]["image"].as_str().expect("an image").to_owned()
    };
    place.names(&old);
    run(&["create", &name, "repo/flow"]).assert(0, &["state     Running"]);
    let (before, first) = (flow(), image_of());
    // Nothing is changed without a yes, and what would be is shown.
    let (removed, added) = (format!("-environment: {{image: \"{old}\"}}"), format!("+environment: {{image: {new}}}"));
    run(&["update", &name]).assert(2, &[&removed, &added, "cannot ask for confirmation", "nothing was changed"]);
    assert_eq!((flow(), image_of()), (before.clone(), first.clone()));
    run(&["update", &name, "--yes"]).assert(0, &[&added, "state     Running"]);
    assert_eq!(flow(), before.replace(&format!("\"{old}\""), &new));
    assert_ne!(image_of(), first);
    run(&["update", &name, "--yes"]).assert(0, &["is on the newest image that is known", "state     Running"]);

    // An environment that cannot be built changes nothing.
    let second = image_of();
    let missing = format!("{}/team/other:1", registry.address);
    run(&["update", &name, "--image", &missing, "--yes"]).assert(4, &["team/other"]);
    run(&["update", &name, "--image", "no image", "--yes"]).assert(2, &["is not the name of an image", "no blanks"]);
    assert_eq!((flow(), image_of()), (before.replace(&format!("\"{old}\""), &new), second));
    // Back, by name; where nobody says what the newest is, that is said.
    run(&["update", &name, "--image", &old, "--yes"]).assert(0, &["state     Running"]);
    registry.stop();
    run(&["update", &name, "--yes"]).assert(8, &["cannot tell the newest version of", "--image"]);
    // Microsoft's images are frozen, whether their registry answers or not.
    place.names("mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20240111.v2");
    let frozen =
        ["+environment: {image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:2025", "no longer updates"];
    run(&["update", &name]).assert(2, &frozen);
    let bad = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20241214.v1";
    run(&["update", &name, "--image", bad])
        .assert(2, &["warning: Microsoft says of 20241214.v1: known issues and bugs"]);

    run(&["stop", &name]).assert(0, &["stopped"]);
    for image in [old, new] {
        place.remove(&image);
    }
}
