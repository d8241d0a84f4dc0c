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
        if let Some(refusal) = &line.refusal {
            out += &format!("refused {refusal:?} ");
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
    let text = "\u{feff}# comment\npromptflow[azure] == 1.10 ; python_version > '3.8'  # why\r\n\nPrompt_Flow\\\n  >=1,\\\n<2\n-i https://{private}@host/simple pkg\npkg --index-url=https://x/y#z\n-rother.txt\n./local.whl\nfoo @ https://h/a.whl ; x\ngit+https://h/r\n=bad\nfoo @ https://h/a;python_version>'3'\nbar;\n";
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
        req "foo"@235 - "@ https://h/a"@239 ok=true
        req "bar"@272 - - ok=true
    "#]]
    .assert_eq(&show(text));
}

#[test]
fn options_as_pip_reads_them() {
    let text = "--index 'https://h/a b' x\n--pre=1\n--require x\n-i\n--index_url x\n-i \"x\n-foo\npkg\t-i x\npkg --hash=md5:1\n-r --pre\n-- -i x\n-e . -i x\n--extra-index-url=\n- -r a -c b\n\u{a0}-i\u{a0}x\u{3000}\n";
    expect_test::expect![[r#"
        opt --index Some("https://h/a b") stray x
        opt --pre Some("1") refused Value(Spanned { value: "1", span: Span { start: 32, end: 33 } })
        opt --require None refused Ambiguous(Spanned { value: "--require", span: Span { start: 34, end: 43 } }, ["--requirement", "--require-hashes"]) stray x
        opt -i None refused NoValue(Spanned { value: "-i", span: Span { start: 46, end: 48 } })
        opt --index_url None refused Unknown(Spanned { value: "--index_url", span: Span { start: 49, end: 60 } }) stray x
        opt -i Some("x") refused Quotes(Span { start: 66, end: 67 })
        opt -f Some("oo")
        req "pkg"@74 - "-i x"@78 ok=false
        req "pkg"@83 - - ok=true opt --hash Some("md5:1") refused BadValue(Spanned { value: "md5:1", span: Span { start: 94, end: 99 } }, "`sha256:`, `sha384:` or `sha512:` and the hash")
        opt -r Some("--pre")
        stray -i stray x
        opt -e Some(".") opt -i Some("x")
        opt --extra-index-url Some("")
        opt -r Some("a") opt -c Some("b") stray -
        opt -i Some("\u{a0}x")
    "#]]
    .assert_eq(&show(text));
}

#[test]
fn a_comment_that_ends_in_a_backslash_takes_the_next_line_with_it() {
    let text = "a # x \\\nb\nc \\\n# d\n==1\n# e \\\nf\n";
    let read = read(text);
    let lines: Vec<_> = read.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["a", "c", "==1", "f"]);
    let comments: Vec<_> = read.comments.iter().map(|span| span.slice(text)).collect();
    assert_eq!(comments, ["# x \\\nb", "# d", "# e \\"]);
}

#[test]
fn encodings_as_pip_decodes_them() {
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let utf32 = |text: &str| -> Vec<u8> { text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect() };
    let text = |bytes: Vec<u8>| decode(bytes).map(|(text, encoding)| format!("{text} {encoding:?}"));
    assert_eq!(text([&[0xff, 0xfe][..], &utf16("é😀")].concat()), Ok("é😀 Other(\"UTF-16LE\")".to_owned()));
    assert_eq!(text([&[0, 0, 0xfe, 0xff][..], &utf32("é😀")].concat()), Ok("é😀 Other(\"UTF-32BE\")".to_owned()));
    assert_eq!(text(b"\xef\xbb\xbfa".to_vec()), Ok("\u{feff}a Utf8".to_owned()));
    assert_eq!(
        text(b"#\n# vim: coding=latin-1 :\n\xe9".to_vec()),
        Ok("#\n# vim: coding=latin-1 :\né Other(\"ISO-8859-1\")".to_owned())
    );
    assert_eq!(text(b"# coding: cp1252\n\x80".to_vec()), Ok("# coding: cp1252\n€ Other(\"windows-1252\")".to_owned()));
    assert_eq!(text(b"# coding: hex\n".to_vec()), Ok("# coding: hex\n Utf8".to_owned()));
    assert!(text(b"# coding: hex\n\x80".to_vec()).is_err());
    assert!(text(b"\xff\xfea".to_vec()).is_err());
    assert!(text(b"\x00\x00\xfe\xff\x00".to_vec()).is_err());
    assert!(text(b"a\x80".to_vec()).is_err());
}

#[test]
fn variables_are_upper_case() {
    let text = "${A_1}${a}${}${B$C}";
    let found: Vec<_> = variables(text).map(|range| &text[range]).collect();
    assert_eq!(found, ["${A_1}"]);
}

#[test]
fn names_compare_as_pep_503_says() {
    assert_eq!(normalize("Prompt__Flow.Tools"), "prompt-flow-tools");
    assert_eq!(normalize("-"), "");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_every_span_fits(text in "(?s)([ -~]|\n|\r|\t|\\\\|#|é|а|😀|\u{a0}|\u{2028}| -i | -r|==1|;| and |https://u:p@){0,80}") {
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
