//! Prompty files, as promptflow reads them: YAML between two lines of dashes, then a template.

use std::ops::Range;
use std::sync::Arc;

use crate::connection::{self, Secret};
use crate::lower;
use crate::model::{Input, Output};
use crate::span::Span;
use crate::template::{self, Template};
use crate::yaml::{self, Document};

/// What was read from one file.
#[derive(Debug, Clone)]
pub struct Prompty {
    /// The front matter; its places are places in the file.
    pub document: Document,
    /// `inputs`, in the order of the text.
    pub inputs: Vec<Input>,
    /// `outputs`, in the order of the text.
    pub outputs: Vec<Output>,
    /// The key of the API in `model.configuration`.
    pub secret: Option<Secret>,
    /// The template's place.
    pub body: Span,
    /// The template; its places are places in the file.
    pub template: Arc<Template>,
    /// What is wrong with the lines of dashes.
    pub fault: Option<Fault>,
}

/// What is wrong with the lines of dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No line of dashes, or only one: then there is no template.
    Missing,
    /// Such a line has more behind its dashes.
    Followed(Span),
    /// The closing line has more than three dashes: the engine leaves the first ones to the YAML.
    TooLong(Span),
    /// A further line of dashes: the engine takes the last one for the end of the front matter.
    Further(Span),
}

/// Reads `text`.
pub fn read(text: &str) -> Prompty {
    let delimiters: Vec<Span> = delimiters(text).collect();
    let (fault, front, body) = match *delimiters.as_slice() {
        [] | [_] => {
            let followed = followed(text);
            (Some(followed.map_or(Fault::Missing, Fault::Followed)), 0..0, Span::empty(text.len()))
        }
        [open, close, ..] => {
            let further = delimiters.get(2).map(|_| Fault::Further(delimiters[delimiters.len() - 1]));
            let too_long = (close.end - close.start > 3).then_some(Fault::TooLong(close));
            let body = after_line(text, close.end)..text.len();
            (too_long.or(further), after_line(text, open.end)..close.start, Span::new(body.start, body.end))
        }
    };
    let document = yaml::read(&alone(text, front));
    let configuration = document.root.get("model").and_then(|model| model.value.get("configuration"));
    Prompty {
        inputs: lower::inputs(&document.root),
        outputs: lower::outputs(&document.root),
        secret: configuration.and_then(|entry| entry.value.get("api_key")).and_then(connection::secret),
        template: template::read_at(text, body.start).into(),
        document,
        body,
        fault,
    }
}

/// The text up to the end of that part, with spaces for what stands before it: no byte moves.
fn alone(text: &str, part: Range<usize>) -> String {
    let mut alone = " ".repeat(part.start.saturating_sub(1));
    if part.start > 0 {
        alone.push('\n');
    }
    alone.push_str(text.get(part).unwrap_or(""));
    alone
}

/// Three dashes or more at the end of a line that is not the last.
fn delimiters(text: &str) -> impl Iterator<Item = Span> {
    let mut at = 0;
    let lines = text.split_inclusive('\n').map(move |line| {
        at += line.len();
        (at - line.len(), line)
    });
    lines.filter_map(|(start, line)| {
        let content = line.strip_suffix('\n')?;
        let content = content.strip_suffix('\r').unwrap_or(content);
        let dashes = content.len() - content.trim_end_matches('-').len();
        (dashes >= 3).then(|| Span::new(start + content.len() - dashes, start + content.len()))
    })
}

/// The first line that would be one, were it not for the spaces behind it or the end of the file.
fn followed(text: &str) -> Option<Span> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        at += line.len();
        let content = line.trim_end_matches(['\n', '\r']);
        let dashes = content.trim_end();
        let is = dashes.len() >= 3 && dashes.bytes().all(|b| b == b'-') && dashes.len() < content.len();
        is.then(|| Span::new(at - line.len() + dashes.len(), at - line.len() + content.len()))
    })
}

fn after_line(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| at + n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_file() {
        let text = "---\nname: é\ninputs:\n  q: {type: string}\n---\nsystem:\nhi {{q}}\n";
        let read = read(text);
        assert_eq!(read.fault, None);
        assert!(read.document.errors.is_empty());
        assert_eq!(read.body.slice(text), "system:\nhi {{q}}\n");
        assert_eq!(read.inputs[0].name.span.slice(text), "q");
        assert_eq!(read.inputs[0].r#type.as_ref().unwrap().span.slice(text), "string");
    }

    #[test]
    fn lines_of_dashes() {
        let fault = |text: &str| read(text).fault;
        assert_eq!(fault("system:\nhi\n"), Some(Fault::Missing));
        assert_eq!(fault("---\nname: x\nsystem:\n"), Some(Fault::Missing));
        assert_eq!(fault("--- \nname: x\n---\nsystem:\n"), Some(Fault::Followed(Span::new(3, 4))));
        assert_eq!(fault("---\nname: x\n----\nsystem:\n"), Some(Fault::TooLong(Span::new(12, 16))));
        assert_eq!(fault("----\nname: x\n---\nsystem:\n"), None);
        assert_eq!(fault("---\nname: x\n---\nhi\n---\nho\n"), Some(Fault::Further(Span::new(19, 22))));
        assert_eq!(fault("---\r\nname: x\r\n---\r\nhi\n---"), None);
        assert_eq!(fault("\u{feff}---\nname: x\n---\nhi\n"), None);
    }
}
