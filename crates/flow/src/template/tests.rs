use proptest::prelude::*;

use super::*;

#[track_caller]
fn names(text: &str) -> String {
    let template = read(text);
    assert!(template.complete, "{text}: {:?}", template.error);
    let word = |variable: &Variable| {
        assert_eq!(variable.span().slice(text), variable.name, "{text}");
        let guarded = if variable.guarded { "?" } else { "" };
        let assigned = if variable.assigned { "=" } else { "" };
        format!("{}{guarded}{assigned}", variable.name)
    };
    template.variables.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What `jinja2.meta.find_undeclared_variables` says, with `?` for a guarded name and `=` for one
/// that a branch sets.
#[test]
fn names_from_outside() {
    for (text, expect) in [
        ("system:\nYou are {{ role }}. {{question}}\n{{ role.x }}", "role question"),
        (
            "{% for item in chat_history %}\nuser:\n{{ item.inputs.q }} {{ loop.index }}{{ item2 }}{% endfor %}{{ item }}",
            "chat_history item2 item",
        ),
        ("{% for i in y if z(i) and loop %}{{ i }}{% else %}{{ i }}{{ loop }}{% endfor %}", "y z loop i"),
        ("{% set x = x %}{{ x }}{% set y %}{{ y }}{% endset %}{{ y }}", "x"),
        ("{% if a %}{% set x = 1 %}{% else %}{{ x }}{% endif %}{{ x }}", "a? x="),
        ("{% set x = 0 %}{% if a %}{% set x = 1 %}{% endif %}{{ x }}", "a?"),
        ("{% if a %}{% for m in b %}{{ m }}{% endfor %}{% endif %}", "a? b?"),
        ("{% macro m(a, b=c) %}{{ a }}{{ b }}{{ d }}{{ caller() }}{{ varargs }}{% endmacro %}{{ m(1) }}", "c d"),
        ("{% call(u) m(e) %}{{ u }}{{ f }}{% endcall %}", "m e f"),
        ("{% with a = b %}{{ a }}{% endwith %}{{ a }}", "b a"),
        ("{% import 'x' as y with context %}{% from z import w as v %}{{ y }}{{ v }}{{ w }}", "z w"),
        ("{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ range(3) }}{{ dict() }}{% set other.a = 1 %}", "other"),
        ("{% set x = 1 %}{% block b %}{{ x }}{{ super() }}{{ self.b() }}{{ t }}{% endblock %}", "x= t"),
        ("{% filter upper %}{{ a }}{% endfilter %}{% autoescape b %}{% endautoescape %}{% include c %}", "a b c"),
        ("{% raw %}{{ a }}{% endraw %}{# {{ b }} #}{{ \"{{ c }}\" }}", ""),
        ("{{ 变量 }}{{ a[b:c] }}{{ {d: e} }}{{ (f, g) }}", "变量 a b c d e f g"),
    ] {
        assert_eq!(names(text), expect, "{text}");
    }
}

#[test]
fn guarded_names() {
    for (text, expect) in [
        ("{{ a | default('x') }}{{ b or 'x' }}{{ c if c else '' }}{{ d is defined }}", "a? b? c? d?"),
        ("{% if a %}{{ a.b }}{{ c }}{% endif %}", "a? c?"),
        ("{% if a.b %}{% endif %}{% if c == 'x' %}{% endif %}{% if d | length %}{% endif %}", "a c? d?"),
        ("{{ a | default('x') }}{{ a }}", "a"),
        ("{{ (a or []) | join }}{{ (b | upper) or c }}", "a? b c?"),
    ] {
        assert_eq!(names(text), expect, "{text}");
    }
}

#[test]
fn what_jinja2_refuses_and_what_it_may_accept() {
    for (text, at, message) in [
        ("{{ a b }}", "b", "unexpected identifier, expected end of variable block"),
        ("a {{ user-name $ }}", "$", "unexpected character"),
        ("{% if a %}\ntext", "if", "`if` is not closed: `{% endif %}` is missing"),
        ("{% for a in b %}{% if a %}{% endfor %}", "endfor", "unknown statement endfor"),
        ("text {{ a", "{{", "`{{` is not closed"),
        ("text {# a {{ b }}", "{#", "`{#` is not closed"),
        ("{% if a %}{% do a.b() %}{% endif %}", "do a.b()", "unknown statement do"),
        ("{% endif %}", "endif", "unknown statement endif"),
        ("{{ “a” }}", "“", "unexpected character"),
    ] {
        let template = read(text);
        let error = template.error.unwrap_or_else(|| panic!("{text} is accepted"));
        assert_eq!((error.span.slice(text), error.message.as_str()), (at, message), "{text}");
        assert!(!template.complete);
    }
    for text in
        ["{{ a, b }}", "{{ +a }}", "{% print a %}", "{{ a[1, 2] }}", "{{\u{a0}a }}", "{{ a[] }}", "{{ '\\x4' }}"]
    {
        let template = read(text);
        assert!(template.error.is_none() && !template.complete, "{text}: {:?}", template.error);
    }
}

#[test]
fn roles_and_openings() {
    let of = |text: &str| {
        let template = read(text);
        let roles = template.roles.iter().map(|role| role.name.value.clone()).collect::<Vec<_>>().join(" ");
        let opening = match template.opening {
            Opening::Unknown => "?".to_owned(),
            Opening::Empty => "empty".to_owned(),
            Opening::Role => "role".to_owned(),
            Opening::Text(span) => format!("text {}", span.slice(text)),
            Opening::Inline { role, certain } => {
                assert!(role.span.slice(text).eq_ignore_ascii_case(&role.value));
                format!("inline {}{}", role.value, if certain { "" } else { "?" })
            }
        };
        format!("{opening}; {roles}")
    };
    for (text, expect) in [
        ("system:\nYou\n# User :  \nhi\n", "role; system user"),
        ("\n\n#\nASSISTANT\n:\nx", "role; assistant"),
        (
            "{# c #}\n{% set x = 1 %}\nsystem:\n{% for m in h %}\nuser:\n{{ m }}\nassistant:\n{% endfor %}",
            "role; system user assistant",
        ),
        ("You are\nuser:\n{{ q }}", "text You are; user"),
        ("{{ p }}\nuser:\n", "?; user"),
        ("{% if a %}x{% endif %}user:\n", "?; user"),
        ("system: You are", "inline system; "),
        ("# system: {{ q }}", "inline system?; "),
        ("# system:", "inline system; "),
        ("# {{ role }}:\n", "?; "),
        ("developer:\nx", "text developer:; "),
        ("\u{feff}system:\nx", "text \u{feff}system:; "),
        (" \n{# x #}\n", "empty; "),
        ("sys{# #}tem:\nx", "role; "),
        ("# Instructions\nx", "text # Instructions; "),
        ("systems:\n", "text systems:; "),
        ("system{{ x }}", "?; "),
        ("system", "text system; "),
    ] {
        assert_eq!(of(text), expect, "{text}");
    }
}

#[test]
fn images_comments_and_lookups() {
    let text = "{#- flowgate -#}\n![image]({{ photo }}) ![ image ]({{a}}) ![x]({{ b }}) {% raw %}{# no #}{% endraw %}{{ c | nope(1) is odd }}{# d #}";
    let template = read(text);
    let slices = |spans: Vec<Span>| spans.into_iter().map(|span| span.slice(text).to_owned()).collect::<Vec<_>>();
    assert_eq!(slices(template.images.iter().map(|image| image.span).collect()), ["photo", "a"]);
    assert_eq!(slices(template.comments.clone()), ["{#- flowgate -#}", "{# d #}"]);
    assert_eq!(slices(template.lookups.iter().map(|lookup| lookup.name.span).collect()), ["odd", "nope"]);
    let text = "{% include 'a' %}{% if b %}{% import 'c' as d %}{% from 'e' import f %}{% endif %}{% extends 'g' %}";
    let template = read(text);
    let lookups = template.lookups.iter().map(|lookup| (lookup.name.span.slice(text), lookup.conditional));
    assert!(lookups.eq([("include", false), ("import", true), ("from", true), ("extends", false)]));
    assert!(FILTERS.is_sorted() && TESTS.is_sorted());
}

#[test]
fn the_places_of_a_part_are_places_of_the_whole() {
    let text = "---\nname: é\n---\nsystem: {{ a }}";
    let template = read_at(text, text.find("system").unwrap());
    assert_eq!(template.variables[0].span().slice(text), "a");
    let Opening::Inline { role, .. } = &template.opening else { panic!("{:?}", template.opening) };
    assert_eq!(role.span.slice(text), "system");
    let inside = text.find('é').unwrap() + 1;
    assert!(!read_at(text, inside).complete && !read_at(text, 999).complete, "no place of a character");
}

#[test]
fn depth_is_bounded() {
    let deep = 100_000;
    for text in [
        format!("{{{{ {}a{} }}}}", "(".repeat(deep), ")".repeat(deep)),
        format!("{{{{ a{} }}}}", ".a".repeat(20_000)),
        format!("{{{{ {}a }}}}", "not\n".repeat(deep)),
        format!("{{{{ a{} }}}}", "\n+a".repeat(deep)),
        format!("{{{{ a{} }}}}", "(b,c)\n".repeat(deep)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}\n".repeat(deep)),
        "{% if a %}\n".repeat(deep),
        format!("{{% set {}", "(\n".repeat(deep)),
        format!("{{#{}", "x".repeat(70_000)),
    ] {
        assert!(!read(&text).complete);
    }
    assert!(read(&format!("{{{{ [{}] }}}}", "{'a': f(b), 'c': d.e},\n".repeat(10_000))).complete);
}

proptest! {
    #[test]
    fn any_text_is_read_and_every_place_fits(
        text in r"(?s)(\{\{|\}\}|\{%|%\}|\{#|#\}|-|\+| |\n|if |elif |else|endif|for |in |endfor|set |=|macro |raw|endraw|do |a|b|é|\.|\||\(|\)|\[|\]|,|'|\x22|1|system:|user|#|!\[image\]\(|:|\u{feff}){0,60}",
        start in 0usize..4,
    ) {
        let template = read_at(&text, start);
        let mut spans: Vec<Span> = template.comments.clone();
        spans.extend(template.variables.iter().flat_map(|variable| variable.uses.iter().copied()));
        spans.extend(template.images.iter().map(|image| image.span));
        spans.extend(template.roles.iter().map(|role| role.name.span));
        spans.extend(template.lookups.iter().map(|lookup| lookup.name.span));
        spans.extend(template.error.iter().map(|error| error.span));
        match &template.opening {
            Opening::Text(span) => spans.push(*span),
            Opening::Inline { role, .. } => spans.push(role.span),
            _ => {}
        }
        for span in spans {
            prop_assert!(text.get(span.start..span.end).is_some(), "{span:?}");
            prop_assert!(span.start >= start);
        }
        for variable in &template.variables {
            prop_assert_eq!(variable.span().slice(&text), variable.name.as_str());
        }
    }
}
