use crate::coercion;
use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::value_type::ValueType;

pub(super) const RULE: Rule = Rule {
    name: "default-type-mismatch",
    group: Group::Flow,
    level: Level::Error,
    summary: "A flow input's default that cannot be read as the input's type.",
    cases: &[],
    why: "The flow loads, and each run that takes the default fails (`InputTypeError`, `InputParseError`, or `LoadMultimediaDataError` for an image). The engine reads a `bool` from `true` and `false` only, and a `list` from a list or from JSON text.",
    bad: "#- flow.dag.yaml\ninputs:\n  stream:\n    type: bool\n    default: 'yes'\noutputs:\n  out:\n    type: bool\n    reference: ${inputs.stream}\n",
    good: "#- flow.dag.yaml\ninputs:\n  stream:\n    type: bool\n    default: true\noutputs:\n  out:\n    type: bool\n    reference: ${inputs.stream}\n",
    fix: Some("Writes `yes`, `no`, `on`, `off`, 1 and 0 as a bool. Unsafe: another type may be meant."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag() else { return Vec::new() };
    let mut findings = Vec::new();
    for input in &dag.flow.inputs {
        let (Some(r#type), Some(default)) = (&input.r#type, &input.default) else { continue };
        let Some(value_type) = ValueType::of(&r#type.value) else { continue };
        if default.is_null() || coercion::may_become(default, value_type) {
            continue;
        }
        let at = dag.place(if default.span.is_empty() { input.name.span } else { default.span });
        let message = format!("the default of `{}` is no `{}`", input.name.value, r#type.value);
        let finding = Finding::error(at, message).related(dag.place(r#type.span), "its type");
        findings.push(coercion::mend(finding, default, value_type));
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn as_the_engine_coerces() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: int, default: '1.5'}
#                         ^^^^^ error[default-type-mismatch]: the default of `a` is no `int`
  b: {type: int, default: .nan}
#                         ^^^^ error[default-type-mismatch]: the default of `b` is no `int`
  c: {type: double, default: ''}
#                            ^^ error[default-type-mismatch]: the default of `c` is no `double`
  d: {type: bool, default: 1}
#                          ^ error[default-type-mismatch]: the default of `d` is no `bool`
  e: {type: list, default: \"['a']\"}
#                          ^^^^^^^ error[default-type-mismatch]: the default of `e` is no `list`
  f: {type: list, default: {a: 1}}
#                          ^^^^^^ error[default-type-mismatch]: the default of `f` is no `list`
  g: {type: image, default: 3}
#                           ^ error[default-type-mismatch]: the default of `g` is no `image`
  h: {type: int, default: 2020-01-01}
#                         ^^^^^^^^^^ error[default-type-mismatch]: the default of `h` is no `int`
",
        );
    }

    #[test]
    fn what_the_engine_converts() {
        let fine: [(&str, &[&str]); 7] = [
            ("int", &["1.5", "1e3", "true", "'1'", "' 1 '", "'1_000'", "1_000", "0x1F", "0b11", "0o7", "", "'${x}'"]),
            ("double", &["1", "'1.5'", ".nan", ".inf", "'inf'", "'Infinity'", "'1e3'", "'-1_0.5'", "True"]),
            ("bool", &["true", "'TRUE'", "False"]),
            ("list", &["[]", "'[1]'", "' [1, {}] '", "'[NaN]'"]),
            ("image", &["a.png", "{}", "[]"]),
            ("string", &["1", "[]", "{}", "true"]),
            ("object", &["1", "text", "[]"]),
        ];
        for (r#type, values) in fine {
            for value in values {
                let flow = format!("#- flow.dag.yaml\ninputs:\n  i: {{type: {type}, default: {value}}}\n");
                fixture::raises(&super::RULE, &flow);
            }
        }
    }
}
