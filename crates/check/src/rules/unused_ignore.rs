use crate::context::Context;
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};

pub(crate) const RULE: Rule = Rule {
    name: "unused-ignore",
    group: Group::Files,
    level: Level::Warning,
    summary: "A comment `flowgate: ignore[...]` that ignores nothing, or names no rule.",
    cases: &[],
    why: "The fault that it was written for is gone, or the name is mistyped and the fault is still reported. Either way the comment says something that is not so, and the next reader believes it. Rules that did not run are not judged: those that the configuration or the command line turns off, and all where a part of the flow could not be read.",
    bad: "#- flow.dag.yaml\ninputs:\n  # flowgate: ignore[missing-type] the old client sends text\n  question: {type: string}\n",
    good: "#- flow.dag.yaml\ninputs:\n  question: {type: string}\n",
    fix: Some(
        "Removes the comment, or the one name. A name that is near to a rule's becomes that rule's name; that is a guess, and so is removing a name that this version does not know.",
    ),
    check,
};

/// What comments ignore is known when all other rules have spoken: `crate::ignores` finds these.
fn check(_: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::fixture;

    #[test]
    fn each_name_is_judged() {
        fixture::raises(
            &RULE,
            "#- flow.dag.yaml
inputs:
  # flowgate: ignore[missing-type] known
  a: {}
  b: {} # flowgate: ignore[missing-tipe, missing-type, nothing-like-it]
#                          ^^^^^^^^^^^^ warning[unused-ignore]: there is no rule `missing-tipe`
#                                                      ^^^^^^^^^^^^^^^ warning[unused-ignore]: there is no rule `nothing-like-it`
  # flowgate: ignore[invalid-type-name, duplicate-node-name] both are mended
# ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[unused-ignore]: neither `invalid-type-name` nor `duplicate-node-name` is found where this comment ignores it
  c: {type: int}
  # flowgate: ignore[]
# ^^^^^^^^^^^^^^^^^^^^ warning[unused-ignore]: this comment ignores no rule
  d: {type: int} # flowgate: ignore missing-type
#                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning[unused-ignore]: this comment ignores no rule
  # flowgate: ignore[missing-type, unused-ignore] kept
  e: {type: int}
  # flowgate: ignored things are not meant
#- requirements.txt
# flowgate: ignore-file[pinned-promptflow, yaml-syntax]
#                                          ^^^^^^^^^^^ warning[unused-ignore]: `yaml-syntax` is not found where this comment ignores it
promptflow==1.0
",
        );
    }

    #[test]
    fn what_did_not_run_is_not_judged() {
        fixture::raises(&RULE, "#- flow.dag.yaml\n# flowgate: ignore-file[missing-type]\ninputs: {a: {type: int}\n");
    }

    #[test]
    fn the_fix_takes_what_is_wrong() {
        for (line, fixed) in [
            ("  a: {type: int}  # flowgate: ignore[missing-type] why\r\n", "  a: {type: int}\r\n"),
            ("  # flowgate: ignore[missing-type]\r\n  a: {type: int}\r\n", "  a: {type: int}\r\n"),
            (
                "  a: {} # flowgate: ignore[missing-type, yaml-syntax] y\n",
                "  a: {} # flowgate: ignore[missing-type] y\n",
            ),
            ("  a: {} # flowgate: ignore[yaml-syntax,missing-type]\n", "  a: {} # flowgate: ignore[missing-type]\n"),
            ("  a: {} # flowgate: ignore[missing-typ]\n", "  a: {} # flowgate: ignore[missing-type]\n"),
        ] {
            let file = |line: &str| format!("#- flow.dag.yaml\ninputs:\n{line}");
            let only = fixture::fixed_by(&RULE, &file(line));
            assert_eq!(only, file(fixed));
        }
    }
}
