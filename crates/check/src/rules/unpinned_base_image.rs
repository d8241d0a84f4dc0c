use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::base_image::{self, NEWEST, Reference};

pub(super) const RULE: Rule = Rule {
    name: "unpinned-base-image",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A base image without a tag, or with the tag `latest`.",
    cases: &["latest-tag", "image-without-tag"],
    why: "The same flow runs on another image tomorrow, with other versions of everything, and nothing in the repository says since when.",
    bad: "#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:latest\n",
    good: "#- flow.dag.yaml\nenvironment:\n  image: mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20251211.v2\n",
    fix: Some(
        "Names the last version of Microsoft's base image. Unsafe: it need not be the one that runs now. None for other images.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some((image, at)) = super::malformed_base_image::image(context) else { return Vec::new() };
    let Ok(reference) = Reference::parse(&image.value) else { return Vec::new() };
    let tag = reference.tag.as_ref().and_then(|range| image.value.get(range.clone()));
    if reference.digest.is_some() || tag.is_some_and(|tag| tag != "latest") {
        return Vec::new();
    }
    let (message, range) = match (tag, reference.tag) {
        (Some(_), Some(range)) => ("the tag `latest` names another image each time", range),
        _ => ("without a tag, the image is `latest`, another one each time", 0..image.value.len()),
    };
    let exact = image.is_verbatim();
    let place = |from: usize, to: usize| Place { span: Span::new(at.span.start + from, at.span.start + to), ..at };
    let shown = if exact { place(range.start, range.end) } else { at };
    let finding = Finding::new(Level::Warning, shown, message).help("name a version, or a digest");
    let newest = context.facts.newest_base_image.as_deref().unwrap_or(NEWEST);
    let is_stable = image.value.contains("promptflow-python");
    if !exact || !base_image::is_microsofts(&image.value) || is_stable {
        return vec![finding];
    }
    let edit = match tag {
        Some(_) => (place(range.start, range.end), newest.to_owned()),
        None => (place(range.end, range.end), format!(":{newest}")),
    };
    vec![finding.fix(Applicability::Unsafe, format!("name `{newest}`"), edit.0, edit.1)]
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn with_and_without_a_tag() {
        for (image, mark) in [
            (
                "python",
                "^^^^^^ warning[unpinned-base-image]: without a tag, the image is `latest`, another one each time",
            ),
            (
                "x.azurecr.io/a:latest",
                "               ^^^^^^ warning[unpinned-base-image]: the tag `latest` names another image each time",
            ),
        ] {
            fixture::raises(
                &super::RULE,
                &format!("#- flow.dag.yaml\nenvironment:\n  image: {image}\n#        {mark}\n"),
            );
        }
        let digest = format!("python@sha256:{}", "0".repeat(64));
        for image in ["python:3.11", digest.as_str(), "'{{image}}'", "${IMAGE}"] {
            fixture::raises(&super::RULE, &format!("#- flow.dag.yaml\nenvironment:\n  image: {image}\n"));
        }
    }
}
