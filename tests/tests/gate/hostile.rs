//! Indexes that lead elsewhere, and indexes that break.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use flowgate_runtime::gate::{Feed, Gate, GateOptions, GatePolicy, Resolver};

use crate::index::{Answer, FakeIndex};
use crate::place::{Place, With, wheel};
use crate::{TOKEN, feed, gate, private_feed};

const FILE: &str = "pkg-1.0-py3-none-any.whl";
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

fn bytes_of_wheel() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::read(wheel(folder.path(), "pkg", "1.0", "", &[])).unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Installs `pkg` from a fake index with the credential, and gives the error and what pip printed.
async fn fails(place: &mut Place, index: &FakeIndex, gate: &Arc<Gate>) -> (String, String) {
    let line = format!("-i http://{{private}}@127.0.0.1:{}/simple/", index.port);
    let error = place.install(gate, &[&line, "pkg"]).await.unwrap_err();
    let printed = std::mem::take(&mut place.lines).join("\n");
    assert!(!format!("{error:?}{printed}").contains(TOKEN));
    (error.message, printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_follows_no_link_and_no_redirect_to_another_host() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let thief = FakeIndex::start(|_| Answer::Status(404)).await;
    let aim = format!("http://127.0.0.1:{}/{FILE}", thief.port);
    let (to, page) = (aim.clone(), format!("{aim}#sha256={}", sha256(b"")));
    for answer in [
        Answer::Redirect(to),
        Answer::Links(vec![page.clone()]),
        Answer::Links(vec![METADATA.to_owned() + "/" + FILE]),
        Answer::Redirect(METADATA.to_owned()),
    ] {
        let given = answer.clone();
        let index = FakeIndex::start(move |_| given.clone()).await;
        let gate = gate(GatePolicy::none().with(private_feed(&index.url())), cache.path());
        let (message, _) = fails(&mut place, &index, &gate).await;
        let why = match answer {
            Answer::Redirect(to) if to.starts_with(METADATA) => {
                "it redirects to http://169.254.169.254/metadata/identity/oauth2/token: a link-local address"
            }
            Answer::Redirect(_) => "nothing allows an index to lead there",
            _ => "were left out, as nothing allows an index to lead there",
        };
        assert!(message.contains(why), "{message}");
        assert!(index.seen().iter().all(|seen| seen.authorization.is_some()));
    }
    // A file that its page names on its own host, and that turns out to be elsewhere.
    let index = FakeIndex::start(move |seen| match seen.path.as_str() {
        "/simple/pkg/" => Answer::Links(vec![format!("/files/{FILE}")]),
        _ => Answer::Redirect(aim.clone()),
    })
    .await;
    let gate = gate(GatePolicy::none().with(private_feed(&format!("http://127.0.0.1:{}/", index.port))), cache.path());
    let (message, printed) = fails(&mut place, &index, &gate).await;
    assert!(message.contains("it redirects to http://127.0.0.1"), "{message}");
    assert!(printed.contains("flowgate: ") && printed.contains("was refused"), "{printed}");
    assert_eq!(thief.seen(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_host_gets_the_request_without_the_credential() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let wheel = bytes_of_wheel();
    let hash = sha256(&wheel);
    let index = FakeIndex::start(move |seen| {
        let port = seen.host.rsplit(':').next().unwrap();
        match (seen.path.as_str(), seen.host.starts_with("localhost")) {
            ("/simple/pkg/", true) => Answer::Links(vec![format!("/files/{FILE}#sha256={hash}")]),
            (_, true) => Answer::Redirect(format!("http://127.0.0.1:{port}/blobs/1?signature=x")),
            (_, false) => Answer::File(wheel.clone()),
        }
    })
    .await;
    let root = format!("http://localhost:{}/", index.port);
    let gate = gate(GatePolicy::none().with(private_feed(&root).with_files_on("127.0.0.1")), cache.path());
    let line = format!("-i http://{{private}}@localhost:{}/simple/", index.port);
    assert_eq!(place.install(&gate, &[&line, "pkg"]).await.unwrap().after["pkg"], "1.0");
    let seen = index.seen();
    assert_eq!(index.paths(), ["/simple/pkg/", &format!("/files/{FILE}"), "/blobs/1?signature=x"]);
    assert_eq!(seen.iter().map(|seen| seen.authorization.is_some()).collect::<Vec<_>>(), [true, true, false]);
    // Another place gets the kept file.
    let mut other = Place::new(With::Pip).await.unwrap();
    other.install(&gate, &[&line, "pkg"]).await.unwrap();
    assert_eq!(index.paths().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_packed_and_files_as_they_are() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let wheel = bytes_of_wheel();
    let page = packed(format!("<a href=\"{FILE}#sha256={}\">x</a>", sha256(&wheel)).as_bytes());
    let index = FakeIndex::start(move |seen| match seen.path.ends_with('/') {
        true => Answer::Gzip(page.clone()),
        false => Answer::File(wheel.clone()),
    })
    .await;
    let gate = gate(GatePolicy::none().with(private_feed(&index.url())), cache.path());
    let line = format!("-i http://{{private}}@127.0.0.1:{}/simple/", index.port);
    assert_eq!(place.install(&gate, &[&line, "pkg"]).await.unwrap().after["pkg"], "1.0");
    let encodings: Vec<_> = index.seen().into_iter().map(|seen| seen.encoding.unwrap()).collect();
    assert_eq!(encodings, ["gzip", "identity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_allowed_feed_takes_no_credential_along() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let wheel = bytes_of_wheel();
    let other = FakeIndex::start(move |seen| match seen.path.ends_with('/') {
        true => Answer::Links(vec![FILE.to_owned()]),
        false => Answer::File(wheel.clone()),
    })
    .await;
    let aim = format!("{}pkg/", other.url());
    let index = FakeIndex::start(move |_| Answer::Redirect(aim.clone())).await;
    let policy = GatePolicy::none().with(private_feed(&index.url())).with(private_feed(&other.url()));
    let gate = gate(policy, cache.path());
    let line = format!("-i http://{{private}}@127.0.0.1:{}/simple/", index.port);
    place.install(&gate, &[&line, "pkg"]).await.unwrap();
    assert!(index.seen().iter().all(|seen| seen.authorization.is_some()));
    assert_eq!(other.seen().iter().map(|seen| seen.authorization.is_some()).collect::<Vec<_>>(), [false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requirement_with_a_url_of_its_own_goes_through_the_gate() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let wheel = bytes_of_wheel();
    let index = FakeIndex::start(move |_| Answer::File(wheel.clone())).await;
    let root = format!("http://127.0.0.1:{}", index.port);
    let gate = gate(GatePolicy::none().with(feed(&root)), cache.path());
    let mut install =
        async |line: &str| place.install(&gate, &["--no-index", line]).await.map_err(|error| error.message);
    for (line, why) in [
        ("pkg @ git+https://host.example/pkg".to_owned(), "the URL of `pkg` was refused: only archives"),
        (format!("pkg @ https://elsewhere.example/{FILE}"), "it is not an allowed feed"),
        (format!("https://elsewhere.example/{FILE}"), "it is not an allowed feed"),
        (format!("pkg @ {root}/other"), "its last part is not the name of an archive"),
    ] {
        let message = install(&line).await.unwrap_err();
        assert!(message.contains(why), "{line}: {message}");
    }
    assert_eq!(index.paths(), [""; 0]);
    let message = install(&format!("pkg @ {root}/files/{FILE}#sha256={}", sha256(b""))).await.unwrap_err();
    assert!(message.contains("wrong hash"), "{message}");
    assert_eq!(install(&format!("pkg @ {root}/files/{FILE}")).await.unwrap().after["pkg"], "1.0");
}

/// Knows one address for every name.
#[derive(Debug)]
struct FakeResolver(IpAddr);

#[async_trait::async_trait]
impl Resolver for FakeResolver {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![self.0])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_name_resolves_to_counts() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let index = FakeIndex::start(|_| Answer::Links(Vec::new())).await;
    let url = format!("http://packages.example:{}/simple/", index.port);
    let open = Feed::new(&url).unwrap();
    for (address, feed, why) in [
        (
            "169.254.169.254",
            open.clone().on_private_network(),
            "its host leads to a link-local address (169.254.169.254)",
        ),
        ("fd00:ec2::254", open.clone().on_private_network(), "its host leads to a metadata address"),
        ("::ffff:169.254.169.254", open.clone().on_private_network(), "a link-local address"),
        ("127.0.0.1", open.clone(), "its host leads to a loopback address (127.0.0.1)"),
        ("::ffff:10.0.0.1", open.clone(), "its host leads to a private address"),
        ("127.0.0.1", open.on_private_network(), "No matching distribution"),
    ] {
        let options = GateOptions {
            resolver: Arc::new(FakeResolver(address.parse().unwrap())),
            ..GateOptions::new(cache.path().to_owned())
        };
        let gate = Gate::new(GatePolicy::none().with(feed), &options).unwrap();
        let error = place.install(&gate, &[&format!("-i {url}"), "pkg"]).await.unwrap_err();
        assert!(format!("{error:?}").contains(why), "{address}: {error:?}");
    }
    assert_eq!(index.paths(), ["/simple/pkg/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_break_has_its_message_and_leaves_nothing() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let wheel = bytes_of_wheel();
    let (hash, wrong) = (sha256(&wheel), sha256(b"something else"));
    let half = wheel.len() / 2;
    for (page, file, why) in [
        (Answer::Status(401), Answer::Silent, "answered 401: it does not take the credential"),
        (Answer::Status(403), Answer::Silent, "answered 403: the credential's owner may not read it"),
        (Answer::Status(404), Answer::Silent, "answered 404: there is nothing of that name"),
        (Answer::Status(500), Answer::Silent, "answered 500"),
        (Answer::Silent, Answer::Silent, "nothing came for 1 s"),
        (Answer::File(b"%PDF".to_vec()), Answer::Silent, "No matching distribution"),
        (Answer::Redirect("/simple/pkg/".to_owned()), Answer::Silent, "too many redirects"),
        (Answer::Gzip(b"<html>".to_vec()), Answer::Silent, "its gzip is broken"),
        (Answer::Gzip(packed(&vec![b' '; 65 << 20])), Answer::Silent, "is larger than 67108864 bytes"),
        (Answer::Links(vec![format!("{FILE}#sha256={hash}")]), Answer::Status(404), "answered 404"),
        (Answer::Links(vec![format!("{FILE}#sha256={hash}")]), Answer::Silent, "nothing came for 1 s"),
        (Answer::Links(vec![format!("{FILE}#sha256={hash}")]), Answer::Cut(wheel.clone(), half), "truncated: "),
        (Answer::Links(vec![FILE.to_owned()]), Answer::Cut(wheel.clone(), half), "truncated: "),
        (
            Answer::Links(vec![format!("{FILE}#sha256={wrong}")]),
            Answer::File(wheel.clone()),
            "wrong hash: the index says",
        ),
    ] {
        let told = format!("{page:.40?} {file:.40?}");
        let index =
            FakeIndex::start(move |seen| if seen.path.ends_with('/') { page.clone() } else { file.clone() }).await;
        let options = GateOptions { stall_limit: Duration::from_secs(1), ..GateOptions::new(cache.path().to_owned()) };
        let gate = Gate::new(GatePolicy::none().with(private_feed(&index.url())), &options).unwrap();
        let (message, printed) = fails(&mut place, &index, &gate).await;
        assert!(format!("{message} {printed}").contains(why), "{told}: {message}\n{printed}");
        drop(gate);
        let left: Vec<_> = walk(cache.path());
        assert_eq!(left, [""; 0], "{told}");
    }
}

/// pip takes an index that does not answer for one that has nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_not_read_is_a_failure_although_pip_went_on() {
    let mut place = Place::new(With::Pip).await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let wheel = bytes_of_wheel();
    let good = FakeIndex::start(move |seen| match seen.path.ends_with('/') {
        true => Answer::Links(vec![FILE.to_owned()]),
        false => Answer::File(wheel.clone()),
    })
    .await;
    let bad = FakeIndex::start(|_| Answer::Status(500)).await;
    let gate = gate(GatePolicy::none().with(feed(&good.url())).with(feed(&bad.url())), cache.path());
    let options = [format!("-i {}", good.url()), format!("--extra-index-url {}", bad.url())];
    let error = place.install(&gate, &[&options[0], &options[1], "pkg"]).await.unwrap_err();
    assert!(error.message.contains("went on without an index that it was told to ask"), "{error:?}");
    assert!(error.message.contains(&format!("{}pkg/ answered 500", bad.url())), "{error:?}");
}

/// Every file in a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}
