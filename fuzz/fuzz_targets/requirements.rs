//! The reader of requirements files, from bytes.
#![no_main]

use flowgate_flow::requirements;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok((text, _)) = requirements::decode(bytes.to_vec()) else { return };
    let read = requirements::read(&text);
    let values = read.options().filter_map(|(_, option)| Some(option.value.as_ref()?.span));
    for span in values.chain(read.requirements().map(|requirement| requirement.span)) {
        assert!(text.get(span.start..span.end).is_some(), "a span outside of the text");
    }
});
