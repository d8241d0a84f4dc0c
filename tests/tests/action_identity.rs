//! Who `flowgate action` is to a private feed: a workflow by its own token, a machine by its identity, a stranger
//! nobody. Against a fake of Azure and of GitHub's issuer, with their hosts, and a real engine.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use flowgate_tests::azure::{Azure, in_own_network};
use flowgate_tests::engine::{Engine, docker_or_skip};
use flowgate_tests::event::{pull_request, push};
use serde_json::{Value, json};

const FLOW: &str = "inputs:\n  x: {type: int, default: 2}\noutputs:\n  y: {type: string, reference: '${n.output}'}\nnodes:\n- {name: n, type: python, source: {type: code, path: n.py}, inputs: {x: '${inputs.x}'}}\nenvironment: {python_requirements_txt: requirements.txt}\n";
const TOOL: &str = "import contoso_tools\nfrom promptflow.core import tool\n@tool\ndef run(x: int) -> str:\n    return contoso_tools.WORD\n";
const FEED: &str = "-i https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/";
/// Where the workflow's own token is had, and what permits to ask.
const ISSUER: [(&str, &str); 2] = [
    ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://token.actions.githubusercontent.com/token?api-version=2.0"),
    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "fake-request-token"),
];
const APP: [(&str, &str); 2] = [("INPUT_AZURE_CLIENT_ID", "app"), ("INPUT_AZURE_TENANT_ID", "tenant")];

/// A checked-out repository with one flow whose package is in the private feed.
struct Repository<'a> {
    azure: &'a Azure,
    engine: Engine,
    path: PathBuf,
}

impl<'a> Repository<'a> {
    fn new(azure: &'a Azure) -> Option<Self> {
        let engine = docker_or_skip()?;
        let repository = Self { azure, engine, path: azure.folder().join("repo") };
        repository.write("flow/flow.dag.yaml", FLOW);
        repository.write("flow/n.py", TOOL);
        // An environment of its own: what another test built needs no token.
        let own = format!("{FEED}\ncontoso-tools!=9.{}\n", std::process::id());
        repository.write("flow/requirements.txt", &own);
        repository.configure("");
        Some(repository)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }

    /// The fake is on the loopback device, which a feed must be allowed to be.
    fn configure(&self, more: &str) {
        let feed = "- url: https://pkgs.dev.azure.com/contoso/\n    private-network: true\n";
        self.write("flowgate.yaml", &format!("environment:\n  feeds:\n  {feed}{more}"));
    }

    /// Commits everything and gives the commit.
    fn commit(&self) -> String {
        let git = |words: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(&self.path).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(words);
            let output = command.output().expect("git starts");
            assert!(output.status.success(), "{words:?}: {output:?}");
            String::from_utf8(output.stdout).expect("text").trim().to_owned()
        };
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", "x"]);
        git(&["rev-parse", "HEAD"])
    }

    /// Runs the Action for an event and gives its exit code and its log; what it built is removed.
    fn act(&self, event: (&str, Value), variables: &[&[(&str, &str)]]) -> (Option<i32>, String) {
        let path = |name: &str| self.azure.folder().join(name).display().to_string();
        std::fs::write(self.azure.folder().join("event.json"), event.1.to_string()).expect("the event");
        let (workspace, payload, temp) = (path("repo"), path("event.json"), path(""));
        let mut all = vec![
            ("GITHUB_WORKSPACE", workspace.as_str()),
            ("GITHUB_EVENT_NAME", event.0),
            ("GITHUB_EVENT_PATH", payload.as_str()),
            ("RUNNER_TEMP", temp.as_str()),
            ("INPUT_FAIL_ON", "never"),
        ];
        all.extend(variables.iter().copied().flatten());
        let ran = self.azure.run(&["action"], &all);
        let report = std::fs::read_to_string(self.azure.folder().join("flowgate-report.json")).unwrap_or_default();
        assert!(!report.contains("fake-"), "a token is in the report: {report}");
        let report: Value = serde_json::from_str(&report).unwrap_or_default();
        if let Some(image) = report["flows"][0]["environment"]["image"].as_str() {
            self.engine.ask("DELETE", &format!("/images/{image}"));
        }
        ran
    }
}

#[track_caller]
fn assert_refused(ran: &(Option<i32>, String), parts: &[&str]) {
    assert_eq!(ran.0, Some(4), "{}", ran.1);
    for part in parts {
        assert!(ran.1.contains(part), "{part:?} is not in {}", ran.1);
    }
}

#[test]
fn a_workflows_own_token_opens_a_private_feed() {
    in_own_network("a_workflows_own_token_opens_a_private_feed", |azure| {
        let Some(repository) = Repository::new(azure) else { return };
        let (code, log) = repository.act(push(), &[&APP, &ISSUER]);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("private feeds were asked with the workflow's OIDC token"), "{log}");
        let asked = azure.asked();
        for place in [
            "token.actions.githubusercontent.com/token",
            "login.microsoftonline.com/tenant/oauth2/v2.0/token",
            "pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/contoso-tools/",
        ] {
            assert!(asked.iter().any(|asked| asked == place), "{place} is not in {asked:#?}");
        }
        // The machine has an identity, too; it is not the one that was named.
        assert!(!asked.iter().any(|asked| asked.starts_with("169.254.169.254")), "{asked:#?}");
    });
}

#[test]
fn a_workflow_without_its_own_token_is_told_what_it_needs() {
    in_own_network("a_workflow_without_its_own_token_is_told_what_it_needs", |azure| {
        let Some(repository) = Repository::new(azure) else { return };
        let fix = "give the job `permissions: id-token: write`";
        // Without that permission GitHub offers none.
        let ran = repository.act(push(), &[&APP]);
        assert_refused(&ran, &["requirements.txt:1", "the workflow's OIDC token: GitHub offers this job none", fix]);
        // What permits to ask has ended with its job.
        let ended = [ISSUER[0], ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "fake-ended-token")];
        let ran = repository.act(push(), &[&APP, &ended]);
        assert_refused(&ran, &["GitHub's issuer refuses it with 403", fix]);
        // Azure does not know the workflow.
        let other = [("INPUT_AZURE_CLIENT_ID", "unfederated"), APP[1]];
        let ran = repository.act(push(), &[&other, &ISSUER]);
        assert_refused(&ran, &["AADSTS700213", "repo:o/flows:ref:refs/heads/b", "a federated credential"]);
        assert!(!azure.asked().iter().any(|asked| asked.starts_with("pkgs.dev.azure.com")));
    });
}

/// Whatever the workflow gave, and whatever the runner's machine has: no token is even asked for.
#[test]
fn untrusted_code_is_nobody() {
    in_own_network("untrusted_code_is_nobody", |azure| {
        let Some(repository) = Repository::new(azure) else { return };
        let base = repository.commit();
        let az = azure.folder().join("bin/az");
        std::fs::create_dir_all(az.parent().expect("a folder")).expect("a folder");
        let answer = r#"{"accessToken":"fake-feed-token","expires_on":4102444800,"tokenType":"Bearer"}"#;
        std::fs::write(
            &az,
            format!("#!/bin/sh\necho asked > {}/az-asked\necho '{answer}'\n", azure.folder().display()),
        )
        .expect("a file");
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let token = [("FLOWGATE_FEED_TOKEN", "fake-feed-token")];
        let unreadable = ("pull_request_target", json!({"pull_request": "?"}));
        for event in [pull_request(7, 2, &base), ("pull_request_target", pull_request(7, 2, &base).1), unreadable] {
            for given in [&[][..], &token, &APP] {
                let ran = repository.act(event.clone(), &[given, &ISSUER]);
                assert_refused(&ran, &["`{private}` stands for a token", "untrusted code gets none", "public index"]);
                assert!(!ran.1.contains("were asked with"), "{}", ran.1);
            }
        }
        assert_eq!(azure.asked(), Vec::<String>::new());
        assert!(!azure.folder().join("az-asked").exists());
        // The same with the repository's own branch: the given token is used.
        let (code, log) = repository.act(pull_request(7, 1, &base), &[&token]);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("private feeds were asked with the given token"), "{log}");
    });
}

#[test]
fn the_identity_of_a_pull_request_is_the_base_revisions() {
    in_own_network("the_identity_of_a_pull_request_is_the_base_revisions", |azure| {
        let Some(repository) = Repository::new(azure) else { return };
        // The fake's machine has one identity besides its own: `assigned`.
        repository.configure("  identity: assigned\n");
        let base = repository.commit();
        repository.configure("  identity: another\n");
        let (code, log) = repository.act(pull_request(7, 1, &base), &[]);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("private feeds were asked with managed identity"), "{log}");
        assert!(log.contains("counts once it is merged"), "{log}");
        // A push is the repository's own word, and an identity that the machine does not have is replaced by none.
        assert_refused(&repository.act(push(), &[]), &["managed identity: ", "has not been assigned"]);
        let (code, log) = repository.act(push(), &[&[("INPUT_AZURE_CLIENT_ID", "assigned")]]);
        assert_eq!(code, Some(0), "the input outranks the file: {log}");
    });
}

#[test]
fn a_pull_request_opens_no_feed_by_its_own_word() {
    in_own_network("a_pull_request_opens_no_feed_by_its_own_word", |azure| {
        let Some(repository) = Repository::new(azure) else { return };
        repository.write("flowgate.yaml", "environment: {feeds: []}\n");
        let base = repository.commit();
        repository.configure("");
        let token = [("FLOWGATE_FEED_TOKEN", "fake-feed-token")];
        let ran = repository.act(pull_request(7, 1, &base), &[&token]);
        assert_refused(
            &ran,
            &[
                "it is not an allowed feed; add it to the input `feeds`, or to `environment.feeds` in the base revision's flowgate.yaml",
            ],
        );
        assert_refused(&repository.act(pull_request(7, 2, &base), &[&token]), &["requirements.txt:1"]);
        assert_eq!(azure.asked(), Vec::<String>::new());
        let merged = repository.commit();
        let (code, log) = repository.act(pull_request(7, 1, &merged), &[&token]);
        assert_eq!(code, Some(0), "{log}");
    });
}
