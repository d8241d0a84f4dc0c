//! The reader of requirements files.
#![no_main]

use flowgate_flow::requirements;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let read = requirements::read(text);
    for (_, option) in read.options() {
        if let Some(value) = &option.value {
            assert!(text.get(value.span.start..value.span.end).is_some(), "a span outside of the text");
        }
    }
});
