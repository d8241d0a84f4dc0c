//! The reader of Python files.
#![no_main]

use flowgate_flow::python;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let module = python::read(text);
    let tools = module.tools.iter().flat_map(|tool| {
        let parameters = tool.init.iter().chain(&tool.parameters);
        parameters.flat_map(|parameter| [parameter.name.span, parameter.span]).chain([tool.name.span])
    });
    let imports = module.imports.iter().flat_map(|import| {
        import.names.iter().map(|name| name.span).chain([import.module.span])
    });
    let errors = module.errors.iter().map(|error| error.span).chain(module.newer.iter().map(|newer| newer.span));
    let definitions = module.definitions.iter().map(|definition| definition.name.span);
    for span in tools.chain(imports).chain(errors).chain(definitions).chain(module.comments.iter().copied()) {
        assert!(text.get(span.start..span.end).is_some(), "a span outside of the text");
    }
});
