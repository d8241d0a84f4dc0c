//! What the editor sends, message by message, before the framework sees it.
//!
//! The framework ends the session at the first message that it cannot read, and never at `exit`
//! while its input stays open. Here every message is read first: `exit` ends the input, so that
//! everything under way is answered and written, and what is no message is left out.

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tower_lsp::jsonrpc::{Request, Response};

use crate::lifecycle::Lifecycle;

/// Headers are short; a longer line is none.
const MAX_HEADER: u64 = 8 * 1024;
/// The longest message: an editor that opens a file sends all of it.
const MAX_MESSAGE: u64 = 256 * 1024 * 1024;

/// Hands on messages until `exit`, the end of the input, or the end of the server.
pub(crate) async fn pass_on<I: AsyncRead + Unpin>(input: I, mut server: DuplexStream, lifecycle: Lifecycle) {
    let mut input = BufReader::new(input);
    while let Some(body) = read(&mut input).await {
        let Some(message) = message(&body) else { continue };
        match message.get("method").and_then(Value::as_str) {
            Some("exit") => {
                lifecycle.exit();
                return;
            }
            Some("shutdown") => lifecycle.shutdown(),
            _ => {}
        }
        let body = message.to_string();
        let frame = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        if server.write_all(frame.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next body; `None` at the end of the input, or where no next message can be found in it.
async fn read(input: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut length: Option<u64> = None;
    loop {
        let mut line = Vec::new();
        input.take(MAX_HEADER).read_until(b'\n', &mut line).await.ok()?;
        let line = std::str::from_utf8(&line).ok()?.strip_suffix('\n')?.trim_end();
        match (line.split_once(':'), length) {
            (Some((name, value)), _) if name.eq_ignore_ascii_case("content-length") => {
                length = Some(value.trim().parse().ok()?)
            }
            (None, Some(_)) if line.is_empty() => break,
            _ => {}
        }
    }
    let length = length.filter(|length| *length <= MAX_MESSAGE)?;
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body).await.ok()?;
    (body.len() as u64 == length).then_some(body)
}

/// A body as a message that the framework can read, if it is one.
fn message(body: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(body);
    let mut message: Value =
        serde_json::from_str(&text).or_else(|_| serde_json::from_str(&without_lone_surrogates(&text))).ok()?;
    let fields = message.as_object_mut()?;
    // Some editors send `null` where there are no parameters; the framework counts it as one.
    if fields.get("params").is_some_and(Value::is_null) {
        fields.remove("params");
    }
    let readable = if message.get("method").is_some() {
        serde_json::from_value::<Request>(message.clone()).is_ok()
    } else {
        serde_json::from_value::<Response>(message.clone()).is_ok()
    };
    readable.then_some(message)
}

/// Editors that count in UTF-16 can cut a character in two, and then send halves that no text in
/// UTF-8 can hold. A replacement character is as wide as a half, so places stay right.
fn without_lone_surrogates(json: &str) -> String {
    let unit = |at: usize| {
        let digits = json.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(json.len());
    let mut at = 0;
    while let Some(rest) = json.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.find('\\').unwrap_or(rest.len());
        out.push_str(&rest[..plain]);
        at += plain;
        let width = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            (Some(_), _) => 6,
            // A backslash and what it escapes.
            (None, _) => 1 + json.get(at + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8),
        };
        let end = (at + width).min(json.len());
        out.push_str(json.get(at..end).unwrap_or(""));
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_characters_are_replaced_and_whole_ones_kept() {
        let kept = r#"{"a":"\\ud83d \ud83d\ude00 \u00e9 \" é😀"}"#;
        assert_eq!(without_lone_surrogates(kept), kept);
        assert_eq!(
            without_lone_surrogates(r"\ud83d \ude00 \ude00\ud83d \ud83d\ud83d\ude00"),
            r"\ufffd \ufffd \ufffd\ufffd \ufffd\ud83d\ude00"
        );
        assert_eq!(without_lone_surrogates(r"\ud83"), r"\ud83");
        assert_eq!(without_lone_surrogates("\\"), "\\");
        assert_eq!(without_lone_surrogates("\\é"), "\\é");
    }

    #[test]
    fn what_is_no_message_is_left_out() {
        for body in [
            "",
            "[]",
            "{}",
            "1",
            "{\"jsonrpc\":\"2.0\",",
            "{\"jsonrpc\":\"2.0\",\"method\":7}",
            "{\"method\":\"x\"}",
            "\u{0}",
        ] {
            assert_eq!(message(body.as_bytes()), None, "{body}");
        }
        let without = message(br#"{"jsonrpc":"2.0","id":1,"method":"shutdown","params":null}"#).unwrap();
        assert_eq!(without.to_string(), r#"{"jsonrpc":"2.0","id":1,"method":"shutdown"}"#);
        assert!(message(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").is_some());
    }

    #[tokio::test]
    async fn headers_are_read_in_any_case_and_order_and_nothing_without_a_length() {
        let mut input: &[u8] = b"content-length: 2\r\nContent-Type: x; charset=y\r\n\r\n{}Content-Length: 3\r\n\r\nabcContent-Length: 9\r\n\r\nshort";
        assert_eq!(read(&mut input).await.as_deref(), Some(&b"{}"[..]));
        assert_eq!(read(&mut input).await.as_deref(), Some(&b"abc"[..]));
        assert_eq!(read(&mut input).await, None);
        for bad in ["Content-Length: x\r\n\r\n", "Content-Length: 99999999999999\r\n\r\n", "", "\r\n\r\n"] {
            assert_eq!(read(&mut bad.as_bytes()).await, None, "{bad}");
        }
        assert_eq!(read(&mut &vec![b'x'; 100_000][..]).await, None);
    }
}
