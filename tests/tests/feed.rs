//! Identities and the doctor of private feeds, against a fake of Azure with Azure's hosts.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use flowgate_runtime::identity::{Identity, IdentityOptions, OidcRequest, Resource, Source};
use flowgate_runtime::registry::{LoginSource, Registries};
use flowgate_runtime::secret::Secret;
use flowgate_tests::azure::{Azure, in_own_network};

const TOOLS: &str = "https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/";

#[test]
fn the_doctor_tells_where_the_way_ends() {
    in_own_network("the_doctor_tells_where_the_way_ends", |azure| {
        let (code, out) = azure.run(&["doctor", "feed", TOOLS, "--package", "contoso_tools"], &[]);
        expect![[r#"
            https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/
              passed  url       feed `tools` of the organisation `contoso`
              noted   dns       `pkgs.dev.azure.com` has a loopback address (127.0.0.1), and no feed allows this host to be on a private network
                                help: a build needs `private-network: true` for this feed in flowgate.yaml
              passed  tls       connected; the certificate is trusted
              passed  identity  managed identity, valid until 2100-01-01T00:00:00Z
              passed  index     the feed answers
              passed  package   `contoso_tools`: 1 link
            the feed can be used
        "#]]
        .assert_eq(&out);
        assert_eq!(code, Some(0));

        let feed = |rest: &str| format!("https://{{private}}@pkgs.dev.azure.com/{rest}/pypi/simple/");
        let host =
            |name: &str| format!("https://{{private}}@{name}.pkgs.visualstudio.com/_packaging/tools/pypi/simple/");
        let cases: [(&[&str], &str, &str); 11] = [
            (&["https://{private}pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/"], "url", "malformed"),
            (&["https://evilpkgs.dev.azure.com/o/_packaging/f/pypi/simple/"], "url", "malformed"),
            (&[&host("nobody")], "dns", "unknown-host"),
            (&[&host("silent")], "tls", "unreachable"),
            (&[&host("impostor")], "tls", "certificate"),
            (&[TOOLS, "--identity", "another"], "identity", "no-identity"),
            (&["https://pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/"], "index", "unauthorized"),
            (&[&feed("stranger/_packaging/tools")], "index", "unauthorized"),
            (&[&feed("contoso/_packaging/locked")], "index", "forbidden"),
            (&[&feed("contoso/_packaging/none")], "index", "no-feed"),
            (&[TOOLS, "--package", "none"], "package", "no-package"),
        ];
        let mut shown = String::new();
        for (arguments, step, fault) in cases {
            let all = [&["doctor", "feed", "--format", "json"], arguments].concat();
            let (code, out) = azure.run(&all, &[]);
            let report: serde_json::Value = serde_json::from_str(&out).expect(&out);
            let last = report["feeds"][0]["steps"].as_array().and_then(|steps| steps.last()).expect(&out);
            assert_eq!((&last["step"], &last["fault"]), (&step.into(), &fault.into()), "{out}");
            assert_eq!((code, &report["feeds"][0]["usable"]), (Some(4), &false.into()), "{out}");
            // The words of a resolver are the system's.
            if step != "dns" {
                shown +=
                    &format!("{}\n    {}\n", last["message"].as_str().expect(&out), last["help"].as_str().expect(&out));
            }
        }
        expect![[r#"
            there is no `@` between `{private}` and the host: pip takes both for the host's name
                write `{private}@`
            `evilpkgs.dev.azure.com` names no Azure DevOps feed
                it reads `https://{private}@pkgs.dev.azure.com/<organisation>/_packaging/<feed>/pypi/simple/`
            `silent.pkgs.visualstudio.com` does not answer: Connection refused (os error 111)
                check the network, and whether a firewall lets this machine out
            `impostor.pkgs.visualstudio.com` is not trusted: invalid peer certificate: certificate not valid for name "impostor.pkgs.visualstudio.com"; certificate is only valid for DnsName("pkgs.dev.azure.com"), DnsName("login.microsoftonline.com"), DnsName("token.actions.githubusercontent.com"), DnsName("contoso.azurecr.io") or DnsName("packages.contoso.example")
                where a proxy of your organisation signs for it, name its certificates in SSL_CERT_FILE
            no identity was found: workload identity: environment variable AZURE_TENANT_ID not set; managed identity: The requested identity has not been assigned to this resource
                give a token in FLOWGATE_FEED_TOKEN, or run where Azure gives the identity that is named
            401: the feed is private, and the URL asks for no token
                write `https://{private}@pkgs.dev.azure.com...`
            401: the token from managed identity is not accepted
                add this identity to the users of the organisation `stranger`, which must be of the same tenant
            403: the identity is accepted, but may not read this feed: User 'a' lacks permission to complete this action. You need to have 'ReadPackages'.
                give it access to the organisation `contoso`, and the role Feed Reader on `locked`
            404: there is no such organisation, project or feed: The feed with ID 'none' doesn't exist.
                compare each name in the URL with `Connect to feed` in Azure DevOps
            404: the feed has no such package: The package 'none' was not found.
                check its name; for a package of the public index, let the feed have it as an upstream source
        "#]].assert_eq(&shown);
    });
}

#[test]
fn the_doctor_serves_any_index() {
    in_own_network("the_doctor_serves_any_index", |azure| {
        let url = "https://{private}@packages.contoso.example/simple/";
        let flow = azure.folder().join("flow");
        std::fs::create_dir(&flow).expect("a folder");
        std::fs::write(flow.join("flow.dag.yaml"), "environment:\n  python_requirements_txt: requirements.txt\n")
            .expect("a file");
        std::fs::write(flow.join("requirements.txt"), format!("-i {url}\n")).expect("a file");
        let given = [("FLOWGATE_FEED_TOKEN", "fake-company-token")];
        let mut shown = String::new();
        let mut doctor = |arguments: &[&str], variables: &[(&str, &str)]| {
            let (code, out) = azure.run(&[&["doctor", "feed"], arguments].concat(), variables);
            shown += &format!("$ {}\n{out}exit code {}\n", arguments.join(" "), code.expect("a code"));
        };
        doctor(&["flow"], &given);
        let feeds = "environment:\n  feeds:\n  - url: https://packages.contoso.example/\n";
        std::fs::write(flow.join("flowgate.yaml"), feeds).expect("a file");
        doctor(&["flow"], &given);
        std::fs::write(flow.join("flowgate.yaml"), format!("{feeds}    private-network: true\n")).expect("a file");
        doctor(&["flow", "--package", "tools"], &given);
        // Azure's own token, which this machine has, is not for it.
        doctor(&["flow"], &[]);
        doctor(&[url, "--package", "none"], &given);
        doctor(&[url], &[("FLOWGATE_FEED_TOKEN", "fake-other-token")]);
        doctor(&["https://packages.contoso.example/simple/"], &[]);
        doctor(&["https://{private}@packages.contoso.example/nothing/"], &given);
        doctor(&["ftp://packages.contoso.example/simple/"], &given);
        doctor(&["https://{private}packages.contoso.example/simple/"], &given);
        expect![[r#"
            $ flow
            https://{private}@packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              failed  allowed   no feed in flowgate.yaml covers this URL
                                help: add `- url: https://packages.contoso.example/simple/` to `environment.feeds` in flowgate.yaml
            the feed cannot be used
            exit code 4
            $ flow
            https://{private}@packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              passed  allowed   by `https://packages.contoso.example/` in flowgate.yaml
              failed  dns       `packages.contoso.example` has a loopback address (127.0.0.1), and no feed allows this host to be on a private network
                                help: set `private-network: true` for the feed in flowgate.yaml, if that is meant
            the feed cannot be used
            exit code 4
            $ flow --package tools
            https://{private}@packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              passed  allowed   by `https://packages.contoso.example/` in flowgate.yaml
              passed  dns       `packages.contoso.example` has 1 address
              passed  tls       connected; the certificate is trusted
              passed  identity  the given token
              passed  index     the feed answers
              passed  package   `tools`: 1 link
            the feed can be used
            exit code 0
            $ flow
            https://{private}@packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              passed  allowed   by `https://packages.contoso.example/` in flowgate.yaml
              passed  dns       `packages.contoso.example` has 1 address
              passed  tls       connected; the certificate is trusted
              failed  identity  no token is given for this feed; Azure's is for Azure Artifacts only
                                help: give it in FLOWGATE_FEED_TOKEN
            the feed cannot be used
            exit code 4
            $ https://{private}@packages.contoso.example/simple/ --package none
            https://{private}@packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              noted   dns       `packages.contoso.example` has a loopback address (127.0.0.1), and no feed allows this host to be on a private network
                                help: a build needs `private-network: true` for this feed in flowgate.yaml
              passed  tls       connected; the certificate is trusted
              passed  identity  the given token
              passed  index     1 link
              failed  package   404: the feed has no such package
                                help: check its name; for a package of the public index, let the feed have it as an upstream source
            the feed cannot be used
            exit code 4
            $ https://{private}@packages.contoso.example/simple/
            https://{private}@packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              noted   dns       `packages.contoso.example` has a loopback address (127.0.0.1), and no feed allows this host to be on a private network
                                help: a build needs `private-network: true` for this feed in flowgate.yaml
              passed  tls       connected; the certificate is trusted
              passed  identity  the given token
              failed  index     401: the given token is not accepted
                                help: it may have expired, or be for another feed: set FLOWGATE_FEED_TOKEN to one that may read this feed
            the feed cannot be used
            exit code 4
            $ https://packages.contoso.example/simple/
            https://packages.contoso.example/simple/
              passed  url       an index on `packages.contoso.example`
              noted   dns       `packages.contoso.example` has a loopback address (127.0.0.1), and no feed allows this host to be on a private network
                                help: a build needs `private-network: true` for this feed in flowgate.yaml
              passed  tls       connected; the certificate is trusted
              failed  index     401: the feed is private, and the URL asks for no token
                                help: write `https://{private}@packages.contoso.example...`
            the feed cannot be used
            exit code 4
            $ https://{private}@packages.contoso.example/nothing/
            https://{private}@packages.contoso.example/nothing/
              passed  url       an index on `packages.contoso.example`
              noted   dns       `packages.contoso.example` has a loopback address (127.0.0.1), and no feed allows this host to be on a private network
                                help: a build needs `private-network: true` for this feed in flowgate.yaml
              passed  tls       connected; the certificate is trusted
              passed  identity  the given token
              failed  index     404: there is no index at this URL
                                help: check its path; most indexes end in `/simple/`
            the feed cannot be used
            exit code 4
            $ ftp://packages.contoso.example/simple/
            ftp://packages.contoso.example/simple/
              failed  url       `ftp` is not the scheme of a feed
                                help: use `https`
            the feed cannot be used
            exit code 4
            $ https://{private}packages.contoso.example/simple/
            https://{private}packages.contoso.example/simple/
              failed  url       there is no `@` between `{private}` and the host: pip takes both for the host's name
                                help: write `{private}@`
            the feed cannot be used
            exit code 4
        "#]].assert_eq(&shown);
        assert!(
            azure.asked().iter().all(|asked| asked.starts_with("packages.contoso.example/")),
            "{:?}",
            azure.asked()
        );
    });
}

#[test]
fn the_doctor_reads_a_flow() {
    in_own_network("the_doctor_reads_a_flow", |azure| {
        let flow = azure.folder().join("flow");
        std::fs::create_dir(&flow).expect("a folder");
        std::fs::write(flow.join("flow.dag.yaml"), "environment:\n  python_requirements_txt: requirements.txt\n")
            .expect("a file");
        std::fs::write(
            flow.join("requirements.txt"),
            format!("-i {TOOLS}\n--extra-index-url {TOOLS}\ncontoso-tools\n"),
        )
        .expect("a file");
        let feeds = "{url: 'https://pkgs.dev.azure.com/contoso/', private-network: true}";
        std::fs::write(flow.join("flowgate.yaml"), format!("environment: {{feeds: [{feeds}]}}\n")).expect("a file");
        let (code, out) = azure.run(&["doctor", "feed", "flow"], &[]);
        expect![[r#"
            https://{private}@pkgs.dev.azure.com/contoso/_packaging/tools/pypi/simple/
              passed  url       feed `tools` of the organisation `contoso`
              passed  allowed   by `https://pkgs.dev.azure.com/contoso/` in flowgate.yaml
              passed  dns       `pkgs.dev.azure.com` has 1 address
              passed  tls       connected; the certificate is trusted
              passed  identity  managed identity, valid until 2100-01-01T00:00:00Z
              passed  index     1 link
            the feed can be used
        "#]]
        .assert_eq(&out);
        assert_eq!(code, Some(0));

        // The identity of flowgate.yaml counts where the command line names none.
        std::fs::write(flow.join("flowgate.yaml"), format!("environment: {{identity: another, feeds: [{feeds}]}}\n"))
            .expect("a file");
        let (code, out) = azure.run(&["doctor", "feed", "flow"], &[]);
        assert!(code == Some(4) && out.contains("the identity that is named"), "{out}");
        let (code, out) = azure.run(&["doctor", "feed", "flow", "--identity", "assigned"], &[]);
        assert_eq!(code, Some(0), "{out}");

        std::fs::write(flow.join("requirements.txt"), "contoso-tools\n").expect("a file");
        let (code, out) = azure.run(&["doctor", "feed", "flow"], &[]);
        assert_eq!(
            (code, out.as_str()),
            (Some(0), "note: the flow's requirements name no feed: its packages come from the public index\n")
        );
        let (code, out) = azure.run(&["doctor", "feed", "nowhere"], &[]);
        assert_eq!(code, Some(2), "{out}");
    });
}

/// The doctor's word about the identity.
fn identity(azure: &Azure, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let all = [&["doctor", "feed", "--format", "json", TOOLS], arguments].concat();
    let (_, out) = azure.run(&all, variables);
    let report: serde_json::Value = serde_json::from_str(&out).expect(&out);
    let steps = report["feeds"][0]["steps"].as_array().expect(&out);
    let step = steps.iter().find(|step| step["step"] == "identity").expect(&out);
    assert_eq!(report["feeds"][0]["usable"], step["ended"] == "passed", "{out}");
    step["message"].as_str().expect(&out).to_owned()
}

#[test]
fn each_way_to_an_identity() {
    in_own_network("each_way_to_an_identity", |azure| {
        assert_eq!(identity(azure, &[], &[("FLOWGATE_FEED_TOKEN", "fake-feed-token")]), "the given token");
        let machine = "managed identity, valid until 2100-01-01T00:00:00Z";
        assert_eq!(identity(azure, &[], &[]), machine);
        assert_eq!(identity(azure, &["--identity", "assigned"], &[]), machine);
        let app_service =
            [("IDENTITY_ENDPOINT", "https://pkgs.dev.azure.com/msi/token"), ("IDENTITY_HEADER", "fake-header")];
        assert_eq!(identity(azure, &["--identity", "assigned"], &app_service), machine);

        let pod = azure.folder().join("pod-token");
        std::fs::write(&pod, "fake-pod-token").expect("a file");
        let pod = pod.to_str().expect("text");
        let workload =
            |client| [("AZURE_CLIENT_ID", client), ("AZURE_TENANT_ID", "tenant"), ("AZURE_FEDERATED_TOKEN_FILE", pod)];
        let said = identity(azure, &[], &workload("app"));
        assert!(said.starts_with("workload identity, valid until "), "{said}");
        // One that Azure refuses is said, and the next way is tried.
        assert_eq!(identity(azure, &[], &workload("other")), machine);
    });
}

#[test]
fn azure_cli_is_the_last_way_and_a_named_identity_is_never_replaced_by_it() {
    in_own_network("azure_cli_is_the_last_way_and_a_named_identity_is_never_replaced_by_it", |azure| {
        // A fake `az`, for the real one wants a person to sign in.
        let az = azure.folder().join("bin/az");
        std::fs::create_dir_all(az.parent().expect("a folder")).expect("a folder");
        let answer = r#"{"accessToken":"fake-feed-token","expires_on":4102444800,"tokenType":"Bearer"}"#;
        std::fs::write(&az, format!("#!/bin/sh\necho '{answer}'\n")).expect("a file");
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let elsewhere = [
            ("IDENTITY_ENDPOINT", "https://silent.pkgs.visualstudio.com/msi/token"),
            ("IDENTITY_HEADER", "fake-header"),
        ];
        assert_eq!(identity(azure, &[], &elsewhere), "Azure CLI, valid until 2100-01-01T00:00:00Z");
        expect!["no identity was found: workload identity: environment variable AZURE_TENANT_ID not set; managed identity: `silent.pkgs.visualstudio.com` does not answer: Connection refused (os error 111)"].assert_eq(&identity(azure, &["--identity", "assigned"], &elsewhere));
    });
}

#[test]
fn a_workflows_token_is_exchanged() {
    in_own_network("a_workflows_token_is_exchanged", |_| {
        let asked = |request_token: &str| {
            let oidc = OidcRequest {
                url: "https://token.actions.githubusercontent.com/token?api-version=2.0".to_owned(),
                token: Secret::new(request_token),
            };
            // Named, so that the machine's identity is none of it.
            let (client_id, tenant_id) = (Some("app".to_owned()), Some("tenant".to_owned()));
            let identity =
                Identity::new(IdentityOptions { oidc: Some(oidc), client_id, tenant_id, ..IdentityOptions::default() });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move { identity.token(Resource::PackageFeed).await })
        };
        let token = asked("fake-request-token").expect("a token");
        assert_eq!((token.source, token.secret.expose()), (Source::Oidc, "fake-feed-token"));
        assert!(!format!("{token:?}").contains("fake-"), "{token:?}");
        let error = asked("fake-other-token").expect_err("no token").to_string();
        assert!(error.contains("GitHub's issuer refuses it with 403"), "{error}");
        assert!(!error.contains("fake-"), "{error}");
    });
}

#[test]
fn an_identity_opens_an_azure_registry() {
    in_own_network("an_identity_opens_an_azure_registry", |azure| {
        let image = "contoso.azurecr.io/flows:20240411.v4";
        let (code, out) = azure.run(&["environment", "check-version", image], &[]);
        expect![[r#"
            contoso.azurecr.io/flows:20240411.v4
              digest   sha256:0000000000000000000000000000000000000000000000000000000000000000
              newest   20240411.v10 of 2 versions
        "#]]
        .assert_eq(&out);
        assert_eq!(code, Some(0));
        let (code, out) = azure.run(&["environment", "check-version", image, "--identity", "another"], &[]);
        expect![[r#"
            contoso.azurecr.io/flows:20240411.v4
              digest   unknown
              newest   unknown
              because  `contoso.azurecr.io` refuses the sign-in, asked anonymously (no identity was found: workload identity: environment variable AZURE_TENANT_ID not set; managed identity: The requested identity has not been assigned to this resource); sign in with `docker login contoso.azurecr.io`
        "#]].assert_eq(&out);
        assert_eq!(code, Some(4));
        // The feed's token is for feeds.
        let options =
            IdentityOptions { feed_token: Some(Secret::new("fake-feed-token")), ..IdentityOptions::default() };
        let registries = Registries::new(None, std::sync::Arc::new(Identity::new(options)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (_, source) = runtime.block_on(registries.login("contoso.azurecr.io")).expect("a login");
        assert_eq!(source, LoginSource::Identity(Source::ManagedIdentity));
    });
}
