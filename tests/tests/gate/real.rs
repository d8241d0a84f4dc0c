//! Real indexes: the public one, and pypiserver with a password.

use flowgate_runtime::Stage;
use flowgate_runtime::gate::{Feed, GatePolicy};
use flowgate_runtime::installer::{Archive, InstallRequest};
use flowgate_runtime::secret::Secret;
use flowgate_tests::skip;

use crate::index::Pypiserver;
use crate::place::{Place, With, wheel, wheel_of};
use crate::{TOKEN, feed, gate, private_feed};

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_the_public_index_arrive_and_are_kept() {
    let cache = tempfile::tempdir().unwrap();
    let gate = gate(GatePolicy::public(), cache.path());
    for with in [With::Pip, With::Uv] {
        let Some(mut place) = Place::new(with).await else {
            skip("no uv");
            continue;
        };
        let installed = place.install(&gate, &["requests==2.32.3", "six"]).await.unwrap();
        assert_eq!(installed.after["requests"], "2.32.3");
        assert!(!installed.before.contains_key("requests") && installed.after.contains_key("idna"), "{installed:?}");
        assert_eq!(installed.troubles, []);
        assert_eq!(place.python("import requests; print(requests.__version__)"), "2.32.3");
        // The same once more, from what was kept alone.
        let replay =
            InstallRequest { requirements: vec!["requests".to_owned()], replay: true, ..InstallRequest::default() };
        let mut again = Place::new(with).await.unwrap();
        assert_eq!(again.request(&gate, replay).await.unwrap().after["requests"], "2.32.3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_compiled_and_tests_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(GatePolicy::public(), folder.path());
    let files = [("team/good.py", "X = 1\n"), ("team/broken.py", "def (\n"), ("team/tests/own.py", "X = 1\n")];
    let wheel = wheel_of(folder.path(), "team", "1.0", &files, &[]);
    let name = wheel.file_name().unwrap().to_str().unwrap().to_owned();
    let archive =
        Archive { name, bytes: std::fs::read(&wheel).unwrap().into(), rest: String::new(), shown: "./team".to_owned() };
    for with in [With::Pip, With::Uv] {
        let Some(mut place) = Place::new(with).await else {
            skip("no uv");
            continue;
        };
        let request = InstallRequest { archives: vec![archive.clone()], ..InstallRequest::default() };
        place.request(&gate, request).await.unwrap();
        let compiled = "import pathlib, sysconfig; root = pathlib.Path(sysconfig.get_path('purelib'), 'team')\n\
            print([path.name.split('.')[0] for path in root.rglob('*.pyc')])";
        assert_eq!(place.python(compiled), "[]");
        place.installer.compile().await.unwrap();
        assert_eq!(place.python(compiled), "['good']");
        // The folder of the run stood beside the packages.
        let left = "import os, sysconfig; print(os.listdir(os.path.dirname(sysconfig.get_path('purelib'))))";
        assert_eq!(place.python(left), "['site-packages']");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_come_along_bring_their_extras() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(GatePolicy::public(), folder.path());
    let setup = "from setuptools import setup\n\
        setup(name='team', version='1.0', py_modules=[], extras_require={'more': ['iniconfig==2.0.0']})\n";
    flowgate_tests::index::source(folder.path(), "team", "1.0", setup);
    let archive = Archive {
        name: "team-1.0.tar.gz".to_owned(),
        bytes: std::fs::read(folder.path().join("team-1.0.tar.gz")).unwrap().into(),
        rest: "[more] ; python_version > '3'".to_owned(),
        shown: "./team".to_owned(),
    };
    for with in [With::Pip, With::Uv] {
        let Some(mut place) = Place::new(with).await else {
            skip("no uv");
            continue;
        };
        let request = InstallRequest { archives: vec![archive.clone()], ..InstallRequest::default() };
        let installed = place.request(&gate, request).await.unwrap();
        assert_eq!((installed.after["iniconfig"].as_str(), installed.direct), ("2.0.0", vec!["team".to_owned()]));
        let printed = place.lines.join("\n");
        assert!(printed.contains(" ./team") && !printed.contains("/l/0/"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_packages_come_from_a_private_feed() {
    let folder = tempfile::tempdir().unwrap();
    let (packages, cache) = (folder.path().join("packages"), folder.path().join("cache"));
    std::fs::create_dir(&packages).unwrap();
    wheel(&packages, "team_tools", "1.2", "import six\nNAME = 'team'\n", &["six"]);
    let Some(server) = Pypiserver::start(&packages, TOKEN) else { return skip("no pypiserver") };
    let root = format!("http://127.0.0.1:{}/simple/", server.port);
    let line = format!("--extra-index-url http://{{private}}@127.0.0.1:{}/simple/", server.port);
    let ready = gate(GatePolicy::public().with(private_feed(&root)), &cache);
    for with in [With::Pip, With::Uv] {
        let Some(mut place) = Place::new(with).await else { continue };
        let installed = place.install(&ready, &[&line, "team-tools"]).await.unwrap();
        assert_eq!((installed.after["team-tools"].as_str(), installed.after.contains_key("six")), ("1.2", true));
        assert_eq!(place.python("import team_tools; print(team_tools.NAME)"), "team");
        let said = format!("{installed:?} {:?} {ready:?}", place.lines);
        assert!(!said.contains(TOKEN), "{said}");
    }
    let mut place = Place::new(With::Pip).await.unwrap();
    let mut fails = async |policy: GatePolicy, line: &str| {
        let gate = gate(policy, &cache);
        let error = place.install(&gate, &[line, "team-tools"]).await.unwrap_err();
        assert_eq!(error.stage, Stage::Environment);
        assert!(!format!("{error:?}").contains(TOKEN) && !format!("{error:?}").contains("wr0ng"), "{error:?}");
        (error.message, error.hint.unwrap_or_default())
    };
    let plain = format!("-i {root}");
    let (message, hint) = fails(GatePolicy::public().with(private_feed(&root)), &plain).await;
    assert!(message.contains(&format!("{root}team-tools/ answered 401: it asks for a credential")), "{message}");
    assert!(hint.contains("{private}@"), "{hint}");
    let wrong = feed(&root).with_credential(Secret::new("wr0ng")).unwrap();
    let (message, hint) = fails(GatePolicy::public().with(wrong), &line).await;
    assert!(message.contains("answered 403: the credential's owner may not read it"), "{message}");
    assert!(hint.contains("reader of the feed"), "{hint}");
    let (message, _) = fails(GatePolicy::public().with(feed(&root)), &line).await;
    assert!(message.contains("`{private}` stands for a token, and there is none for this feed"), "{message}");
    let (message, _) = fails(GatePolicy::public(), &line).await;
    assert!(message.contains("it is not an allowed feed"), "{message}");
    // What was kept with the credential is found only with it.
    let request = |line: &str| InstallRequest {
        requirements: vec!["team-tools".to_owned()],
        options: vec![line.replace("--extra-index-url", "-i")],
        replay: true,
        ..InstallRequest::default()
    };
    let stranger = gate(GatePolicy::public().with(feed(&root)), &cache);
    let error = place.request(&stranger, request(&plain)).await.unwrap_err();
    assert!(error.log.unwrap().contains("No matching distribution"));
    let other = feed("http://127.0.0.1:1/simple/").with_credential(Secret::new("wr0ng")).unwrap();
    let other = gate(GatePolicy::none().with(other), &cache);
    assert!(place.request(&other, request("-i http://{private}@127.0.0.1:1/simple/")).await.is_err());
    assert!(place.request(&ready, request(&line)).await.unwrap_err().log.unwrap().contains("six"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_down_or_unknown_is_told_from_one_that_refuses() {
    let cache = tempfile::tempdir().unwrap();
    let mut place = Place::new(With::Pip).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://127.0.0.1:{}/simple/", listener.local_addr().unwrap().port());
    drop(listener);
    for (feed, url, why) in [
        (feed(&closed), closed.as_str(), "connection refused"),
        (Feed::new("https://packages.invalid/").unwrap(), "https://packages.invalid/simple/", "has no address"),
    ] {
        let gate = gate(GatePolicy::none().with(feed), cache.path());
        let error = place.install(&gate, &[&format!("-i {url}"), "pkg"]).await.unwrap_err();
        assert!(error.message.contains(why), "{error:?}");
    }
}
