use super::*;

fn show(text: &str) -> String {
    let mut out = String::new();
    for line in read(text).lines {
        if let Some(r) = &line.requirement {
            let part = |s: &Option<Spanned<String>>| {
                s.as_ref().map_or("-".to_owned(), |s| format!("{:?}@{}", s.value, s.span.start))
            };
            let extras = r.extras.map_or("-", |span| span.slice(text));
            out += &format!("req {} {extras} {} ok={} ", part(&r.name), part(&r.specifier), r.parsed.is_ok());
        }
        for option in &line.options {
            out += &format!("opt {} {:?} ", option.name.value, option.value.as_ref().map(|v| v.value.as_str()));
        }
        for stray in &line.stray {
            out += &format!("stray {} ", stray.value);
        }
        out = format!("{}\n", out.trim_end());
    }
    out
}

#[test]
fn lines_as_pip_reads_them() {
    let text = "\u{feff}# comment\npromptflow[azure] == 1.10 ; python_version > '3.8'  # why\r\n\nPrompt_Flow\\\n  >=1,\\\n<2\n-i https://{private}@host/simple pkg\npkg --index-url=https://x/y#z\n-rother.txt\n./local.whl\nfoo @ https://h/a.whl ; x\ngit+https://h/r\n=bad\n";
    expect_test::expect![[r#"
        req "promptflow"@13 [azure] "== 1.10"@31 ok=true
        req "Prompt_Flow"@73 - ">=1,<2"@88 ok=true
        opt -i Some("https://{private}@host/simple") stray pkg
        req "pkg"@134 - - ok=true opt --index-url Some("https://x/y#z")
        opt -r Some("other.txt")
        req - - - ok=false
        req "foo"@188 - "@ https://h/a.whl"@192 ok=false
        req - - - ok=false
        req - - - ok=false
    "#]]
    .assert_eq(&show(text));
}

#[test]
fn names_compare_as_pep_503_says() {
    assert_eq!(normalize("Prompt__Flow.Tools"), "prompt-flow-tools");
    assert_eq!(normalize("-"), "");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_every_span_fits(text in "(?s)[ -~\\n\\r\\t\\\\#éа😀\u{a0}]{0,200}") {
        let file = read(&text);
        for line in &file.lines {
            assert!(text.get(line.span.start..line.span.end).is_some());
            for option in &line.options {
                assert!(text.get(option.name.span.start..option.name.span.end).is_some());
            }
            if let Some(r) = &line.requirement {
                assert!(text.get(r.span.start..r.span.end).is_some());
                if let Some(s) = &r.specifier {
                    assert!(text.get(s.span.start..s.span.end).is_some());
                }
            }
        }
    }
}
