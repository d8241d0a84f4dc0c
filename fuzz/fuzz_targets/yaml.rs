//! The YAML reader, and the typed flow that is made of its tree.
#![no_main]

use flowgate_flow::{lower, yaml};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let document = yaml::read(text);
    for part in &document.blanked {
        assert!(part.start <= part.end && text.get(part.start..part.end).is_some(), "a span outside of the text");
    }
    let _ = lower::lower(&document);
});
