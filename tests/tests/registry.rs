//! Base images in a real registry: tags, digests, credentials.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use flowgate_tests::command;
use flowgate_tests::registry::{PASSWORD, Registry, USER};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

const REPOSITORY: &str = "azureml/promptflow/promptflow-runtime-stable";

/// The registry, as these tests ask it.
trait Asked {
    fn image(&self, tag: &str) -> String;
    fn push(&self, tags: &[&str], auth: &RegistryAuth);
    fn check(&self, code: i32, arguments: &[&str], variables: &[(&str, &str)]) -> String;
}

impl Asked for Registry {
    fn image(&self, tag: &str) -> String {
        format!("{}/{REPOSITORY}:{tag}", self.address)
    }

    /// Pushes an image of nothing under each tag.
    fn push(&self, tags: &[&str], auth: &RegistryAuth) {
        // The client wants to know whose cryptography it uses, plain HTTP or not.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for tag in tags {
            let client = Client::try_from(config_of(&config)).expect("a client");
            let image: Reference = self.image(tag).parse().expect("a name");
            let layers = [ImageLayer::oci_v1(b"nothing".to_vec(), None)];
            let config = Config::oci_v1(format!("{{\"tag\":\"{tag}\"}}").into_bytes(), None);
            runtime.block_on(client.push(&image, &layers, config, auth, None)).expect("pushed");
        }
    }

    /// The output of `flowgate environment check-version` that ends with that code, with the registry's port as `PORT`.
    fn check(&self, code: i32, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let arguments = [&["environment", "check-version"], arguments].concat();
        let mut command = command(self.folder.path(), &arguments);
        let path = std::env::var("PATH").expect("PATH");
        let path = format!("{}:{path}", self.folder.path().join("bin").display());
        command.env("DOCKER_CONFIG", self.folder.path()).env("PATH", path).envs(variables.iter().copied());
        let output = command.output().expect("flowgate starts");
        let out = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{out}");
        assert!(!out.contains(PASSWORD), "{out}");
        let port = self.address.rsplit(':').next().expect("a port");
        out.replace(port, "PORT")
    }
}

fn config_of(config: &ClientConfig) -> ClientConfig {
    ClientConfig { protocol: config.protocol.clone(), ..ClientConfig::default() }
}

#[test]
fn versions_are_read_from_a_registry() {
    let Some(registry) = Registry::start(false) else { return };
    registry.push(&["20240411.v4", "latest", "20240411.v10", "20231011.v2", "v1"], &RegistryAuth::Anonymous);
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:20231011.v2
          digest   sha256:0dd9779a340171515480cb4e9fd368406520a950488e496ff62aac2f2a27a556
          newest   20240411.v10 of 3 versions
    "#]]
    .assert_eq(&registry.check(0, &[&registry.image("20231011.v2")], &[]));
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:20200101.v1
          digest   unknown
          newest   20240411.v10 of 3 versions
          because  `127.0.0.1:PORT` has no `20200101.v1` in `azureml/promptflow/promptflow-runtime-stable`
    "#]]
    .assert_eq(&registry.check(4, &[&registry.image("20200101.v1")], &[]));
    expect![[r#"
        127.0.0.1:PORT/azureml/other/other-runtime-stable:x
          digest   unknown
          newest   unknown
          because  `127.0.0.1:PORT` has no repository `azureml/other/other-runtime-stable`
    "#]]
    .assert_eq(&registry.check(4, &[&registry.image("x").replace("promptflow", "other")], &[]));
    let flow = format!("environment:\n  image: {}\n", registry.image("latest"));
    registry.folder.write("flow/flow.dag.yaml", flow);
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:latest
          digest   sha256:e9c829011d979d653be52a598f1e5fea7b1ce14b8c9dd34003977cd4b276117f
          newest   20240411.v10 of 3 versions
          warning  [unpinned-base-image] the tag `latest` names another image each time
                   help: name a version, or a digest
    "#]]
    .assert_eq(&registry.check(0, &["flow"], &[]));
    expect![[r#"
        {
          "version": 1,
          "image": "127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:latest",
          "digest": "sha256:e9c829011d979d653be52a598f1e5fea7b1ce14b8c9dd34003977cd4b276117f",
          "newest": "20240411.v10",
          "versions": [
            "20240411.v10",
            "20240411.v4",
            "20231011.v2"
          ],
          "unknown": null,
          "frozen": false,
          "findings": [
            {
              "rule": "unpinned-base-image",
              "level": "warning",
              "message": "the tag `latest` names another image each time",
              "help": "name a version, or a digest"
            }
          ]
        }
    "#]]
    .assert_eq(&registry.check(0, &["flow", "--format", "json"], &[]));
}

#[test]
fn credentials_come_from_dockers_configuration() {
    let Some(registry) = Registry::start(true) else { return };
    let auth = RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned());
    registry.push(&["20240411.v4"], &auth);
    let image = registry.image("20240411.v4");

    let refused = registry.check(4, &[&image], &[]);
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:20240411.v4
          digest   unknown
          newest   unknown
          because  `127.0.0.1:PORT` refuses `azureml/promptflow/promptflow-runtime-stable` (401), asked anonymously; sign in with `docker login 127.0.0.1:PORT`
    "#]].assert_eq(&refused);
    let address = &registry.address;
    registry.folder.write("config.json", registry.login());
    let allowed = registry.check(0, &[&image], &[]);
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:20240411.v4
          digest   sha256:66dfcdf1526424e21b9ec0daa93a74f38c24f01c03ecfbde82d085d713540e8c
          newest   20240411.v4 of 1 version
    "#]]
    .assert_eq(&allowed);

    let helper = registry.folder.path().join("bin/docker-credential-test");
    registry.folder.write(
        "bin/docker-credential-test",
        format!("#!/bin/sh\ncat >/dev/null\necho '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n"),
    );
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    registry.folder.write("config.json", format!("{{\"credHelpers\":{{\"{address}\":\"test\"}}}}"));
    assert_eq!(registry.check(0, &[&image], &[]), allowed);

    // A helper that says that it has none is no error; one that fails is, and its words stay unseen.
    registry.folder.write(
        "bin/docker-credential-test",
        "#!/bin/sh\ncat >/dev/null\necho 'credentials not found in native keychain'\nexit 1\n",
    );
    assert_eq!(registry.check(4, &[&image], &[]), refused);
    registry
        .folder
        .write("bin/docker-credential-test", format!("#!/bin/sh\ncat >/dev/null\necho '{PASSWORD}'\nexit 1\n"));
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:20240411.v4
          digest   unknown
          newest   unknown
          because  `docker-credential-test` gives no credential; sign in again with `docker login 127.0.0.1:PORT`
    "#]]
    .assert_eq(&registry.check(4, &[&image], &[]));
}

#[test]
fn what_is_not_known_is_said_and_is_not_an_error() {
    let Some(mut registry) = Registry::start(false) else { return };
    registry.stop();
    expect![[r#"
        127.0.0.1:PORT/azureml/promptflow/promptflow-runtime-stable:20231011.v2
          digest   unknown
          newest   unknown
          because  `127.0.0.1:PORT` does not answer: Connection refused (os error 111)
    "#]]
    .assert_eq(&registry.check(0, &[&registry.image("20231011.v2")], &[]));
    registry.folder.write("flow/flow.dag.yaml", "nodes: []\n");
    assert_eq!(registry.check(0, &["flow"], &[]), "note: the flow names no base image\n");

    // What is known to be wrong is an error.
    registry.folder.write("flow/flow.dag.yaml", "environment: {image: [\n");
    expect![[r#"
        error: flow: unclosed bracket '['
          help: `flowgate check flow` shows the place
    "#]]
    .assert_eq(&registry.check(4, &["flow"], &[]));
    registry.folder.write("flow/flow.dag.yaml", "environment: {image: 'Not An Image'}\nnodes: []\n");
    assert!(registry.check(2, &["flow"], &[]).contains("error    [malformed-base-image]"));
    assert!(registry.check(2, &["./nowhere"], &[]).contains("`./nowhere` is not the name of an image"));
    registry.folder.write("flowgate.yaml", "environment: {feeds: [{url: nonsense}]}\n");
    assert!(registry.check(2, &["flow"], &[]).contains("flowgate.yaml:1:29: environment.feeds: `nonsense` is not"));
}
