use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;

pub(super) const RULE: Rule = Rule {
    name: "empty-flow",
    group: Group::Files,
    level: Level::Error,
    summary: "A flow file that says nothing: it is empty, or holds only comments.",
    cases: &["flow-without-content"],
    why: "The SDK refuses it (`Either file_path or yaml_dict should be provided.`), and `flowgate run` has nothing to run: it would pass without doing anything.",
    bad: "#- flow.dag.yaml\n# to be written\n",
    good: "#- flow.dag.yaml\ninputs: {}\nnodes: []\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file().filter(|file| file.is_empty()) else { return Vec::new() };
    // What cannot be read is told by itself.
    if context.project.file(file.file).is_none_or(|file| file.unreadable.is_some()) {
        return Vec::new();
    }
    let at = Place { file: file.file, span: Span::empty(0) };
    let help = "write `nodes`, or remove the file";
    vec![Finding::error(at, "the flow is empty").engine("UserErrorException").help(help)]
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn nothing_in_every_spelling() {
        for nothing in ["", "{}\n", "null\n", "---\n"] {
            let files = [("flow.dag.yaml".to_owned(), nothing.to_owned())];
            let (_, findings) = fixture::findings(&files);
            assert_eq!(findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["empty-flow"], "{nothing:?}");
        }
    }
}
