use super::*;

fn paths(text: &str) -> Vec<String> {
    fn walk(node: &Node, text: &str, path: &str, out: &mut Vec<String>) {
        match &*node.value {
            Value::Mapping(entries) if !node.alias => {
                for entry in entries {
                    walk(&entry.value, text, &format!("{path}/{}", entry.key.text().unwrap_or("?")), out);
                }
            }
            Value::Sequence(items) if !node.alias => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, text, &format!("{path}/{index}"), out);
                }
            }
            _ => out.push(format!("{path} = {:?}", node.span.slice(text))),
        }
    }
    let mut out = Vec::new();
    walk(&read(text).root, text, "", &mut out);
    out
}

#[test]
fn spans_are_the_source_text() {
    let text = "\u{feff}# c\r\na: &x 'é'\r\nb: [1, {c: *x}]\r\nd:\r\ne: \"q\" # z\r\n";
    assert_eq!(paths(text), ["/a = \"'é'\"", "/b/0 = \"1\"", "/b/1/c = \"*x\"", "/d = \"\"", "/e = \"\\\"q\\\"\""]);
    let document = read(text);
    let comments: Vec<_> = document.comments.iter().map(|c| c.slice(text)).collect();
    assert_eq!(comments, ["# c", "# z"]);
    let b = &document.root.get("b").unwrap().value;
    assert_eq!(b.span.slice(text), "[1, {c: *x}]");
}

#[test]
fn block_collections_end_with_their_last_child() {
    let text = "nodes:\n- name: a\n  x:\n    y: 1\n\n# c\n- name: b\nz: 1\n";
    let document = read(text);
    let nodes = &document.root.get("nodes").unwrap().value;
    let spans: Vec<_> = nodes.sequence().unwrap().iter().map(|n| n.span.slice(text)).collect();
    assert_eq!(spans, ["name: a\n  x:\n    y: 1", "name: b"]);
}

#[test]
fn a_broken_line_costs_only_itself() {
    let text = "a: 1\nb: [1, 2\nc: 3\nd: 'x\ne: 5\n";
    let document = read(text);
    assert!(!document.errors.is_empty());
    let text = "a: 1\nb: 'x' y\nc: {d: }}\ne: 5\n";
    let document = read(text);
    assert_eq!(document.errors.len(), 2, "{:?}", document.errors);
    assert_eq!(document.root.get("e").unwrap().value.text(), Some("5"));
    assert_eq!(document.root.get("a").unwrap().value.text(), Some("1"));
}

#[test]
fn one_fault_is_one_error() {
    for (text, line) in [
        ("nodes:\n- name: a\n  inputs: [\n    x: ${y}\n    z: 1\n- name: b\n  type: c\nend: 1\n", 2),
        ("nodes:\n- name: a\n  type: b\nname: c\n  type: d\n  source:\n    type: code\n- name: e\nend: 1\n", 4),
        ("a:\n  b: [c\n  d: e\n  f: g\nend: 1\n", 1),
        ("a:\n  b: \"c\n  d: e\nend: 1\n", 1),
    ] {
        let document = read(text);
        let lines: Vec<_> =
            document.errors.iter().map(|error| LineIndex::new(text).line_of(error.span.start)).collect();
        assert_eq!(lines, [line], "{text}{:?}", document.errors);
    }
}

#[test]
fn core_schema_types() {
    let document = read("[1, 1.5, 0x1F, .inf, 1_000, yes, true, ~, null, '1', !!str 1, 1e3, -x, .]");
    let kinds: Vec<_> = document
        .root
        .sequence()
        .unwrap()
        .iter()
        .map(|n| n.scalar().unwrap())
        .map(|s| (s.is_string(), s.is_null()))
        .collect();
    let strings: Vec<_> = kinds.iter().map(|(string, _)| *string).collect();
    assert_eq!(strings, [false, false, false, false, true, true, false, false, false, true, true, false, true, true]);
}

#[test]
fn aliases_do_not_multiply() {
    let mut text = String::from("a0: &a0 [x, x]\n");
    for n in 1..60 {
        text += &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1);
    }
    let document = read(&text);
    assert_eq!(document.root.mapping().unwrap().len(), 60);
    assert_eq!(paths(&text).len(), 2 + 59 * 2);
}

#[test]
fn hostile_texts_end() {
    for text in [
        "[".repeat(200_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "&a [*a]".to_owned(),
        "\0\u{1}\u{7f}".to_owned(),
        "a: |\n".repeat(50_000),
        "? ".repeat(50_000),
        "\"".repeat(100_001),
        "%YAML 9.9\n---\n".to_owned(),
    ] {
        read(&text);
    }
    let long = "a: 1\n".repeat(MAX_BYTES / 4);
    assert!(read(&long).errors[0].message.contains("MiB"));
}

fn assert_spans_fit(text: &str) {
    let document = read(text);
    let parts = document.errors.iter().map(|error| error.span);
    let mut spans: Vec<Span> = parts.chain(document.comments.iter().chain(&document.blanked).copied()).collect();
    let mut nodes = vec![&document.root];
    while let Some(node) = nodes.pop() {
        spans.push(node.span);
        if node.alias {
            continue;
        }
        nodes.extend(node.mapping().unwrap_or(&[]).iter().flat_map(|entry| [&entry.key, &entry.value]));
        nodes.extend(node.sequence().unwrap_or(&[]));
    }
    for span in spans {
        assert!(text.get(span.start..span.end).is_some(), "{span:?} of {text:?}");
    }
}

/// What is left out is read as spaces, as many as it has bytes.
#[test]
fn an_error_beside_a_line_that_is_left_out_is_at_a_whole_character() {
    assert_spans_fit("-p3:i\n-\n\r#:\n-\n>1\r-\nܨ!-\nܨ--");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_every_span_fits(text in "(?s)[a-c:\\-\\[\\]{}&*'\"|>#!%@, \\n\\t\\réа😀]{0,160}") {
        assert_spans_fit(&text);
    }
}
