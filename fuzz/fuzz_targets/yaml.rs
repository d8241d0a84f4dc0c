//! The YAML reader, and the typed flow that is made of its tree.
#![no_main]

use flowgate_flow::{lower, yaml};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let document = yaml::read(text);
    let errors = document.errors.iter().map(|error| error.span);
    let mut spans: Vec<_> = errors.chain(document.comments.iter().chain(&document.blanked).copied()).collect();
    let mut nodes = vec![&document.root];
    while let Some(node) = nodes.pop() {
        spans.push(node.span);
        if !node.alias {
            nodes.extend(node.mapping().unwrap_or(&[]).iter().flat_map(|entry| [&entry.key, &entry.value]));
            nodes.extend(node.sequence().unwrap_or(&[]));
        }
    }
    for span in spans {
        assert!(text.get(span.start..span.end).is_some(), "a span outside of the text");
    }
    let _ = lower::lower(&document);
});
