//! What the host makes of an agent that is not the agent: a package's own code may write its frames. And what the agent
//! does when its host is gone.

use std::process::Stdio;
use std::time::Duration;

use flowgate_runtime::RuntimeError;
use flowgate_runtime::gate::GatePolicy;
use flowgate_runtime::installer::{InstallRequest, Installed, Installer, arguments};
use flowgate_runtime::log::LogTail;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use crate::gate;
use crate::place::find;

const HELLO: &str =
    r#"{"protocol":2,"port":1,"python":"3.11.2","executable":"python","uv":null,"pip":"23.0","packages":{}}"#;
const EXITED: &str = r#"{"exit":0,"signal":null,"detail":"","packages":{"x":"1"}}"#;

/// Writes frames in the agent's place.
struct FakeAgent(DuplexStream);

impl FakeAgent {
    async fn send(&mut self, kind: u8, channel: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len() + 5).unwrap();
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.push(kind);
        bytes.extend(channel.to_be_bytes());
        bytes.extend(payload);
        // The host may have had enough before the end.
        let _ = self.0.write_all(&bytes).await;
    }
}

/// Starts, and sends frames as soon as something is to be installed.
async fn install(hello: &str, frames: &[(u8, u32, Vec<u8>)]) -> Result<Installed, RuntimeError> {
    let cache = tempfile::tempdir().unwrap();
    let (ours, theirs) = duplex(1 << 20);
    let (hello, frames) = (hello.to_owned(), frames.to_vec());
    tokio::spawn(async move {
        let mut agent = FakeAgent(theirs);
        let size = agent.0.read_u32().await.unwrap();
        let mut source = vec![0; size as usize];
        agent.0.read_exact(&mut source).await.unwrap();
        agent.send(0x81, 0, hello.as_bytes()).await;
        agent.0.read_u32().await.unwrap();
        for (kind, channel, payload) in frames {
            agent.send(kind, channel, &payload).await;
        }
        let mut rest = Vec::new();
        let _ = agent.0.read_to_end(&mut rest).await;
    });
    let (reader, writer) = split(ours);
    let mut installer = Installer::start(reader, writer, LogTail::default(), Duration::from_secs(20)).await?;
    let request = InstallRequest { replay: true, ..InstallRequest::default() };
    let gate = gate(GatePolicy::public(), cache.path());
    let mut ignored = |_: &str| {};
    let run = installer.run(&request, &gate, &mut ignored);
    tokio::time::timeout(Duration::from_secs(60), run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_breaks_the_rules_is_left() {
    let exited = || (0x83, 0, EXITED.into());
    let net = |kind: u8, number: u32, rest: &[u8]| (kind, 0, [&number.to_be_bytes()[..], rest].concat());
    let open = |number| net(0xa0, number, b"");
    let request = |number| net(0xa1, number, b"GET /0/simple/x/ HTTP/1.1\r\nHost: x\r\n\r\n");
    let good = [open(1), request(1), (0x82, 0, b"\x01hi\n".to_vec()), net(0xa3, 1, &[0]), exited()];
    assert_eq!(install(HELLO, &good).await.unwrap().after["x"], "1");
    // What crosses with the end of a connection is nothing.
    let crossed = [open(1), net(0xa3, 1, &[1]), net(0xa1, 1, b"GET"), net(0xa2, 1, &[0, 0, 0, 9]), exited()];
    assert_eq!(install(HELLO, &crossed).await.unwrap().after["x"], "1");
    let many = (1..=65).map(open).collect();
    let deaf =
        (1..=300_000).flat_map(|number| [open(number), net(0xa1, number, b"\r\r\r")]).chain([exited()]).collect();
    for (frames, why) in [
        (vec![(0x77, 0, Vec::new())], "it sent a frame of the unknown kind 0x77"),
        (vec![(0x83, 0, b"{".to_vec())], "it sent an answer that cannot be read"),
        (vec![(0x83, 3, EXITED.into())], "it sent Exited on channel 3, which was never opened"),
        (vec![(0x81, 0, HELLO.into())], "it sent Hello, which was not due"),
        (vec![open(0), exited()], "it opened a connection that it may not open"),
        (vec![open(2), open(2), exited()], "it opened a connection that it may not open"),
        (vec![open(2), open(1), exited()], "it opened a connection that it may not open"),
        (many, "it opened a connection that it may not open"),
        (vec![request(1), exited()], "it sent Data for a connection that was never opened"),
        (vec![(0xa0, 0, vec![0, 0, 1]), exited()], "it sent a malformed Open of a connection"),
        (vec![open(1), net(0xa1, 1, b""), exited()], "it sent a malformed Data of a connection"),
        (vec![open(1), net(0xa2, 1, b"x"), exited()], "it sent a malformed Ack of a connection"),
        (vec![open(1), net(0xa2, 1, &[0, 0, 0, 9]), exited()], "it acknowledged what was not sent"),
        (vec![open(1), net(0xa1, 1, &vec![b'x'; 300_000]), exited()], "it sent more than a connection's window"),
        (vec![open(1), net(0xa3, 1, b"\x07"), exited()], "it sent a malformed End of a connection"),
        (vec![(0x82, 0, vec![0; 2 << 20]), exited()], "it sent a frame of kind 0x82 that announces 2097157 bytes"),
        (vec![(0x8f, 0, br#"{"message":"MemoryError"}"#.to_vec())], "MemoryError"),
        // It reads no answer: its connections stay open, or their ends pile up, and then it is left.
        (deaf, "it "),
    ] {
        let error = install(HELLO, &frames).await.unwrap_err();
        assert!(error.message.contains("pip 23.0 was lost: ") && error.message.contains(why), "{why}: {error:?}");
    }
    let error =
        install(r#"{"protocol":9,"port":1,"python":"","executable":"","uv":null,"pip":null,"packages":{}}"#, &[]);
    assert!(error.await.unwrap_err().message.contains("speaks version 9"));
    let error = install(&HELLO.replace("\"23.0\"", "null"), &[]).await.unwrap_err();
    assert_eq!(error.message, "the base image has neither uv nor pip");
}

#[tokio::test]
async fn an_agent_ends_with_its_host_while_a_package_is_on_its_way() {
    // Before it asks for the package's archive, while it connects to do so, and while it waits for the answer.
    for delay in (0..12).map(|n| Duration::from_micros(200 * n)) {
        let mut agent = tokio::process::Command::new(find("python3").unwrap())
            .args(arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (agent.stdin.take().unwrap(), agent.stdout.take().unwrap());
        let modules = [
            ["flowgate_streams", include_str!("../../../crates/runtime/src/worker/streams.py")],
            ["flowgate_installer", include_str!("../../../crates/runtime/src/installer/agent.py")],
        ];
        let modules = serde_json::to_vec(&modules).unwrap();
        stdin.write_u32(u32::try_from(modules.len()).unwrap()).await.unwrap();
        stdin.write_all(&modules).await.unwrap();
        let length = stdout.read_u32().await.unwrap();
        let mut hello = vec![0; length as usize];
        stdout.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello[0], 0x81, "{}", String::from_utf8_lossy(&hello));
        let run = br#"{"argv":["true"],"env":{},"files":{},"archives":["/0/flow.tar.gz"]}"#;
        let head = u32::try_from(run.len() + 5).unwrap().to_be_bytes();
        stdin.write_all(&[&head[..], &[0x01, 0, 0, 0, 0], run].concat()).await.unwrap();
        tokio::time::sleep(delay).await;
        drop(stdin);
        let ended = tokio::time::timeout(Duration::from_secs(60), agent.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("the agent goes on, {delay:?} after it was told to run"));
        assert_eq!(ended.unwrap().code(), Some(0));
    }
}
