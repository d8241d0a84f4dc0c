//! flowgate's own image, from the repository's Dockerfile, on the root file system of the test bed.
#![cfg(unix)]

use std::process::{Command, Output};

use flowgate_tests::engine::{base_image, docker_or_skip};
use flowgate_tests::{Folder, flowgate, repository};

fn docker(folder: &Folder, arguments: &[&str]) -> Output {
    let output =
        Command::new("docker").current_dir(folder.path()).args(arguments).output().expect("the docker command");
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    output
}

#[test]
fn the_dockerfile_gives_an_image_that_checks_flows() {
    if docker_or_skip().is_none() {
        return;
    }
    // What the Dockerfile may see of a repository in which flowgate was built.
    let context = Folder::new("image");
    for file in ["Dockerfile", ".dockerignore"] {
        context.write(file, std::fs::read(repository().join(file)).unwrap());
    }
    context.write("target/release/flowgate", "");
    std::fs::copy(flowgate(), context.path().join("target/release/flowgate")).unwrap();
    context.write("secret.txt", "not for the image");
    let tag = format!("flowgate-test:{}", std::process::id());
    docker(&context, &["build", "--quiet", "--tag", &tag, "--build-arg", &format!("BASE={}", base_image()), "."]);
    let version = Command::new("docker").args(["run", "--rm", "--network", "none", &tag, "--version"]).output();
    docker(&context, &["image", "rm", &tag]);
    let version = version.expect("the docker command");
    assert!(version.status.success(), "{version:?}");
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), format!("flowgate {}", env!("CARGO_PKG_VERSION")));
}
