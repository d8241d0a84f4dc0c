//! A whole project: a flow, its requirements, its tool and its template, parted by zero bytes.
#![no_main]

use std::path::{Path, PathBuf};

use flowgate_check::{Facts, check};
use flowgate_flow::config::CheckConfig;
use flowgate_flow::load::{self, Memory};

const NAMES: [&str; 4] = ["flow.dag.yaml", "requirements.txt", "tool.py", "prompt.jinja2"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let parts = bytes.splitn(NAMES.len(), |byte| *byte == 0);
    let files = NAMES.iter().zip(parts).map(|(name, part)| (PathBuf::from("flow").join(name), part.to_vec()));
    let files = Memory { files: files.collect() };
    let project = load::load_project(&files, Path::new("flow/flow.dag.yaml"));
    for finding in check(&project, &CheckConfig::default(), &Facts::default()) {
        let places = std::iter::once(finding.at).chain(finding.related.iter().map(|related| related.at));
        for place in places {
            let text = project.text(place.file);
            assert!(text.get(place.span.start..place.span.end).is_some(), "{}: a span outside of the text", finding.rule);
        }
        let Some(fix) = finding.fix else { continue };
        for edit in &fix.edits {
            let text = project.text(edit.at.file);
            assert!(text.get(edit.at.span.start..edit.at.span.end).is_some(), "{}: an edit outside of the text", finding.rule);
        }
    }
});
