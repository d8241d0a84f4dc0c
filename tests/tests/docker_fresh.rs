//! Engines that hold nothing yet: what a fresh runner is.
#![cfg(unix)]

use std::process::{Command, Stdio};

use flowgate_tests::azure::in_own_network;
use flowgate_tests::engine::docker_or_skip;
use flowgate_tests::own_engine::OwnEngine;
use flowgate_tests::registry::Registry;
use flowgate_tests::{Finished, Folder, command, flows};

/// The test bed's stand-in for the official Python image.
fn python() -> String {
    let mut docker = Command::new("docker");
    docker.args(["images", "--format", "{{.Repository}}:{{.Tag}}", "flowgate-testbed-python"]);
    let images = Finished::of(docker.output().expect("docker starts")).stdout;
    images.lines().next().expect("the test bed's Python").to_owned()
}

#[test]
fn a_fresh_runner_builds_nothing_that_another_one_pushed() {
    if docker_or_skip().is_none() {
        return;
    }
    let Some(registry) = Registry::start(true) else { return };
    let Some(engine) = OwnEngine::start() else { return };
    let cache = format!("{}/contoso/env", registry.address);
    let folder = Folder::new("fresh");
    folder.write("docker/config.json", registry.login());
    flows::python(&folder, "needs", "", "return text");
    folder.write("needs/requirements.txt", "six==1.16.0\n");
    flows::python(&folder, "described", "", "return open('/word').read()");
    let flow = std::fs::read_to_string(folder.path().join("described/flow.dag.yaml")).unwrap();
    folder.write("described/flow.dag.yaml", format!("{flow}environment: {{image: contoso}}\n"));
    folder.write("flowgate.yaml", "environment:\n  images:\n    contoso: {build: image}\n");
    folder.write("image/Dockerfile", format!("FROM {}\nCOPY word /word\n", flowgate_tests::engine::base_image()));
    folder.write("image/word", "described");
    let flowgate = |arguments: &[&str]| {
        let mut command = command(folder.path(), arguments);
        command.env("DOCKER_HOST", engine.host()).env("DOCKER_CONFIG", folder.path().join("docker"));
        let done = Finished::of(command.stdin(Stdio::null()).output().expect("flowgate starts"));
        assert_eq!(done.code, Some(0), "{done:?}");
        done
    };
    let built = || {
        let arguments = [
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "--filter",
            "event=create",
            "--format",
            "{{.Actor.Attributes.name}}",
        ];
        engine.docker(&arguments).matches("flowgate-build_").count()
    };

    let start = python();
    engine.take(&start);
    engine.docker(&["tag", &start, "python:3.11-slim-bookworm"]);
    let first = flowgate(&["environment", "build", "needs", "described", "--cache-from", &cache, "--cache-to", &cache]);
    assert_eq!(first.stderr.matches(&format!("pushed {cache}:trusted-")).count(), 3, "{first:?}");
    assert_eq!((registry.tags("contoso/env").len(), built()), (3, 2));

    // As on another machine: an environment, and the base with an image that the repository describes.
    for (flow, images) in [("needs", 1), ("described", 2)] {
        engine.forget();
        let ran = flowgate(&["run", flow, "--backend", "docker", "--cache-from", &cache]);
        assert_eq!(ran.stderr.matches(&format!("using {cache}:trusted-")).count(), images, "{ran:?}");
        assert!(!ran.stderr.contains("building image"), "{ran:?}");
        assert!(ran.stdout.contains("1 of 1 flow passed"), "{ran:?}");
        assert_eq!(built(), 2);
    }
    assert!(!engine.docker(&["images"]).contains(&registry.address));
}

#[test]
fn an_azure_registry_opens_to_the_machines_identity() {
    in_own_network("an_azure_registry_opens_to_the_machines_identity", |azure| {
        let Some(engine) = OwnEngine::start() else { return };
        let image = "contoso.azurecr.io/tiny:1";
        let folder = azure.folder().join("flow");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("flow.dag.yaml"), format!("environment: {{image: \"{image}\"}}\nnodes: []\n"))
            .expect("a flow");
        let docker = azure.folder().join("docker").display().to_string();
        let cache = azure.folder().join("cache").display().to_string();
        let variables = [("DOCKER_HOST", engine.host()), ("DOCKER_CONFIG", docker), ("FLOWGATE_CACHE_DIR", cache)];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (code, out) = azure.run(&["environment", "build", "flow", "--identity", "another"], &variables);
        assert_eq!(code, Some(4), "{out}");
        for part in [
            "contoso.azurecr.io refuses it, asked anonymously (no identity was found",
            "docker login contoso.azurecr.io",
        ] {
            assert!(out.contains(part), "{out}");
        }
        let (code, out) = azure.run(&["environment", "build", "flow"], &variables);
        assert_eq!(code, Some(0), "{out}");
        assert!(out.contains("Azure registries were asked with managed identity"), "{out}");
        assert_eq!(engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).trim(), image);
        assert!(!engine.docker(&["inspect", image]).contains("fake-"));
    });
}
