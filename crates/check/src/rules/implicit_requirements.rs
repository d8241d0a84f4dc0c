use flowgate_flow::Span;
use flowgate_flow::project::Presence;

use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::rules::unknown_environment_key;

pub(super) const RULE: Rule = Rule {
    name: "implicit-requirements",
    group: Group::Environment,
    level: Level::Hint,
    summary: "A `requirements.txt` beside the flow that `environment` does not name.",
    cases: &["shadowed-requirements"],
    why: "Where `environment.python_requirements_txt` is absent, the SDK adds it by itself when it uploads the flow or builds an image; other tools do not. Where it names another file, `requirements.txt` is read by nobody.",
    bad: "#- flow.dag.yaml\ninputs: {}\n#- requirements.txt\nrequests\n",
    good: "#- flow.dag.yaml\ninputs: {}\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests\n",
    fix: Some("Adds the key that the SDK would add. Safe. None where another file is named."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(flow) = context.flow_file().filter(|flow| flow.flow.complete) else { return Vec::new() };
    let is_there = context.project.paths.get("requirements.txt").is_some_and(|fact| fact.presence == Presence::File);
    if !is_there {
        return Vec::new();
    }
    let environment = flow.document.root.get("environment");
    let named = flow.flow.environment.as_ref().and_then(|e| e.python_requirements_txt.as_ref());
    let place = |span: Span| Place { file: flow.file, span };
    if let Some(named) = named {
        let name = named.value.trim_start_matches("./");
        let other = name != "requirements.txt" && !name.ends_with("/requirements.txt");
        let included = context.requirements().iter().any(|file| {
            context.project.file(file.file).is_some_and(|f| f.path == context.project.folder.join("requirements.txt"))
        });
        let is_read = !context.requirements().is_empty();
        return Vec::from_iter((other && is_read && !included).then(|| {
            Finding::new(Level::Hint, place(named.span), "`requirements.txt` beside the flow is never read")
                .help(format!("name it, include it in `{}` with `-r`, or remove it", named.value))
        }));
    }
    // A misspelt key is another rule's.
    let keys = environment.and_then(|environment| environment.value.mapping()).unwrap_or(&[]).iter();
    let mut keys = keys.filter_map(|entry| entry.key.text());
    if keys.any(|key| unknown_environment_key::nearest(key) == Some("python_requirements_txt")) {
        return Vec::new();
    }
    let text = context.project.text(flow.file);
    let message = "`environment` does not name the `requirements.txt` beside the flow";
    let help = "write `python_requirements_txt: requirements.txt` under `environment`";
    let at = match environment {
        Some(environment) => environment.key.span,
        None => Span::new(0, text.lines().next().map_or(0, str::len)),
    };
    let finding = Finding::new(Level::Hint, place(at), message).help(help);
    let key = "python_requirements_txt: requirements.txt";
    let first = environment.map(|environment| environment.value.mapping().unwrap_or(&[]).first());
    let (at, new) = match first {
        None => {
            let break_before = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            (text.len(), format!("{break_before}environment:\n  {key}\n"))
        }
        Some(Some(first)) => {
            let start = first.key.span.start;
            let line = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
            let indent = text.get(line..start).unwrap_or("x");
            if indent.is_empty() || !indent.chars().all(|c| c == ' ') {
                return vec![finding];
            }
            (line, format!("{indent}{key}\n"))
        }
        Some(None) => return vec![finding],
    };
    // A block scalar or a flow collection at the end would swallow the lines.
    if !text.get(..at).is_some_and(|before| before.is_empty() || before.ends_with('\n')) && first.is_some() {
        return vec![finding];
    }
    vec![finding.fix(Applicability::Safe, "add it", place(Span::empty(at)), new)]
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn unnamed_and_shadowed() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
environment:
#^^^^^^^^^^ hint[implicit-requirements]: `environment` does not name the `requirements.txt` beside the flow
  image: x:1
#- requirements.txt
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
environment:
  python_requirements_txt: other.txt
#                          ^^^^^^^^^ hint[implicit-requirements]: `requirements.txt` beside the flow is never read
#- other.txt
#- requirements.txt
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
environment:
  python_requirements_txt: other.txt
#- other.txt
-r requirements.txt
#- requirements.txt
",
        );
    }

    #[test]
    fn the_key_is_added() {
        let fixed = |flow: &str| fixture::fixed(&format!("#- flow.dag.yaml\n{flow}#- requirements.txt\n"));
        assert!(
            fixed("environment:\n    image: x:1\n")
                .contains("environment:\n    python_requirements_txt: requirements.txt\n    image: x:1\n")
        );
        assert!(fixed("environment: {image: x:1}\n").contains("environment: {image: x:1}\n"));
    }
}
