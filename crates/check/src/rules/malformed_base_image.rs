use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::base_image::Reference;
use flowgate_flow::config::RuntimeTarget;
use flowgate_flow::{Span, Spanned};

pub(super) const RULE: Rule = Rule {
    name: "malformed-base-image",
    group: Group::Environment,
    level: Level::Error,
    summary: "A base image whose name no registry can hold, or that the hosted runtime refuses.",
    cases: &["upper-case-image", "image-with-scheme", "incomplete-digest", "docker-hub-image"],
    why: "Nothing looks at the name before the session starts or the image is built; both then fail with a message about a registry.",
    bad: "#- flow.dag.yaml\nenvironment:\n  image: https://contoso.azurecr.io/flows:1.2\n",
    good: "#- flow.dag.yaml\nenvironment:\n  image: contoso.azurecr.io/flows:1.2\n",
    fix: Some("Removes a scheme. Safe: a name has none."),
    check,
};

/// The image that a flow names, unless it is a template or a name of another kind.
pub(super) fn image<'p>(context: &Context<'p>) -> Option<(&'p Spanned<String>, Place)> {
    let flow = context.flow_file()?;
    let image = flow.flow.environment.as_ref()?.image.as_ref()?;
    let is_other =
        image.value.contains(['{', '$', '<', '%']) || image.value.starts_with("azureml:") || image.value.contains("@@");
    (!is_other).then_some((image, Place { file: flow.file, span: image.span }))
}

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some((image, at)) = image(context) else { return Vec::new() };
    let exact = image.is_verbatim();
    let place = |range: std::ops::Range<usize>| match exact && !range.is_empty() {
        true => Place { span: Span::new(at.span.start + range.start, at.span.start + range.end), ..at },
        false => at,
    };
    match Reference::parse(&image.value) {
        Err(error) => {
            let scheme = image.value.get(error.range.clone()).is_some_and(|text| text.ends_with("://"));
            let finding = Finding::error(place(error.range.clone()), error.message)
                .help("it reads `registry/name:tag` or `registry/name@sha256:...`");
            match scheme && exact {
                true => vec![finding.fix(Applicability::Safe, "remove it", place(error.range), "")],
                false => vec![finding],
            }
        }
        Ok(reference) => {
            let host = reference.host.filter(|host| image.value.get(host.clone()) == Some("docker.io"));
            let hosted = context.target == RuntimeTarget::HostedRuntime;
            let finding = host.filter(|_| hosted).map(|host| {
                let message =
                    "the hosted runtime has refused names at `docker.io`: `not a valid name for an ACR image`";
                Finding::new(Level::Warning, place(host), message).help("copy the image to an Azure registry")
            });
            Vec::from_iter(finding)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn each_fault_on_its_own_place() {
        for (image, mark) in [
            ("x.azurecr.io/Flows:1", "             ^ error[malformed-base-image]: an image's name is in lower case"),
            (
                "x.azurecr.io/flows@sha256",
                "                  ^^^^^^^ error[malformed-base-image]: this is not a digest: it reads `sha256:` and 64 hexadecimal digits",
            ),
            (
                "docker.io/x/y:1",
                "^^^^^^^^^ warning[malformed-base-image]: the hosted runtime has refused names at `docker.io`: `not a valid name for an ACR image`",
            ),
            ("\"x y:1\"", "^^^^^^^ error[malformed-base-image]: an image's name has no blanks"),
        ] {
            fixture::raises(
                &super::RULE,
                &format!("#- flow.dag.yaml\nenvironment:\n  image: {image}\n#        {mark}\n"),
            );
        }
        for image in ["python:3.11", "'{{image}}:X'", "azureml:env:1", "localhost:5000/x:1"] {
            fixture::raises(&super::RULE, &format!("#- flow.dag.yaml\nenvironment:\n  image: {image}\n"));
        }
    }
}
