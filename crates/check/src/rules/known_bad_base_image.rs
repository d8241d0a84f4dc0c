use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::Span;
use flowgate_flow::base_image::{NEWEST, Reference, VERSIONS, date, is_microsofts};

pub(super) const RULE: Rule = Rule {
    name: "known-bad-base-image",
    group: Group::Environment,
    level: Level::Error,
    summary: "A version of Microsoft's base image that Microsoft warns of, that does not exist, or that is older than its change log.",
    cases: &["outdated-base-image"],
    why: "The change log of the image says of one version: do not use it. The flow fails on it for reasons that are not the flow's.",
    bad: "#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20241214.v1\n",
    good: "#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20251211.v2\n",
    fix: Some("Names the last version. Unsafe: it holds other versions of everything."),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some((image, at)) = super::malformed_base_image::image(context) else { return Vec::new() };
    // The multi-container image has versions of its own.
    if !is_microsofts(&image.value) || image.value.contains("promptflow-python") {
        return Vec::new();
    }
    let Ok(Reference { tag: Some(range), digest: None, .. }) = Reference::parse(&image.value) else {
        return Vec::new();
    };
    let Some(tag) = image.value.get(range.clone()).filter(|tag| *tag != "latest") else { return Vec::new() };
    let exact = image.is_verbatim();
    let at = match exact {
        true => Place { span: Span::new(at.span.start + range.start, at.span.start + range.end), ..at },
        false => at,
    };
    let newest = context.facts.newest_base_image.as_deref().unwrap_or(NEWEST);
    let oldest = VERSIONS.last().and_then(|version| date(version.tag));
    let is_new = date(tag) >= date(NEWEST);
    let (level, message) = match (VERSIONS.iter().find(|version| version.tag == tag), date(tag)) {
        (Some(version), _) if version.bad.is_some() => {
            let why = version.bad.unwrap_or_default();
            (Level::Error, format!("Microsoft says not to use `{tag}`: {why}"))
        }
        (None, None) => (Level::Warning, format!("`{tag}` does not read as a version of the image: `YYYYMMDD.vN`")),
        (None, date) if date < oldest => {
            (Level::Warning, format!("`{tag}` is older than the image's change log, and than promptflow 1.4"))
        }
        _ if context.facts.newest_base_image.is_some() && !is_new && date(tag) < date(newest) => {
            (Level::Hint, format!("`{tag}` is not the newest version of the image, which is `{newest}`"))
        }
        _ => return Vec::new(),
    };
    let finding = Finding::new(level, at, message);
    let near = suggest::nearest(tag, VERSIONS.iter().map(|version| version.tag)).filter(|_| date(tag).is_none());
    let finding = match near {
        Some(near) => finding.help(suggest::did_you_mean(near)),
        None => finding.help(format!("use `{newest}`")),
    };
    let right = near.unwrap_or(newest);
    match exact {
        true => vec![finding.fix(Applicability::Unsafe, format!("name `{right}`"), at, right)],
        false => vec![finding],
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    fn flow(image: &str) -> String {
        format!("#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/{image}\n")
    }

    #[test]
    fn by_the_change_log() {
        let message = |image: &str| {
            let (_, findings) = fixture::findings(&fixture::files(&flow(image)));
            findings.into_iter().find(|f| f.rule == super::RULE.name).map(|f| f.message)
        };
        assert_eq!(message("promptflow-runtime:20250131.v2"), None);
        assert_eq!(message("promptflow-runtime-stable:20991231.v1"), None);
        assert_eq!(message("promptflow-python:1"), None);
        assert!(message("promptflow-runtime-stable:20231114.v2").is_some());
        assert!(message("promptflow-runtime:2025131.v2").is_some());
    }

    #[test]
    fn the_newest_is_a_fact_of_the_registry() {
        let project = fixture::project(&fixture::files(&flow("promptflow-runtime:20250131.v2")));
        let facts = crate::Facts { newest_base_image: Some("20251211.v2".to_owned()), ..Default::default() };
        let findings = crate::check(&project, &Default::default(), &facts);
        assert_eq!(findings[0].message, "`20250131.v2` is not the newest version of the image, which is `20251211.v2`");
    }
}
