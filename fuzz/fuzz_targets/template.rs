//! The reader of prompt templates.
#![no_main]

use flowgate_flow::template::{self, Opening};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let template = template::read(text);
    let uses = template.variables.iter().flat_map(|variable| variable.uses.iter().copied());
    let names = template.images.iter().map(|image| image.span).chain(template.roles.iter().map(|role| role.name.span));
    let lookups = template.lookups.iter().map(|lookup| lookup.name.span);
    let rest = template.comments.iter().copied().chain(template.error.iter().map(|error| error.span));
    let opening = match &template.opening {
        Opening::Text(span) => Some(*span),
        Opening::Inline { role, .. } => Some(role.span),
        Opening::Role | Opening::Empty | Opening::Unknown => None,
    };
    for span in uses.chain(names).chain(lookups).chain(rest).chain(opening) {
        assert!(text.get(span.start..span.end).is_some(), "a span outside of the text");
    }
});
