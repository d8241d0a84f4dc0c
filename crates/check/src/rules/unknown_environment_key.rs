use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::look_alike;
use crate::rule::{Group, Rule};
use crate::suggest;

pub(super) const RULE: Rule = Rule {
    name: "unknown-environment-key",
    group: Group::Environment,
    level: Level::Warning,
    summary: "A key under `environment` that nothing reads.",
    cases: &[],
    why: "The engine, the SDK and the hosted runtime ignore it without a word: the flow runs in the default image, or without its packages.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements: requirements.txt\n#- requirements.txt\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\nrequests\n",
    fix: Some(
        "Writes the key that means it (safe), or the most similar one (unsafe); none where that key is there already.",
    ),
    check,
};

/// What anything reads: the hosted runtime, `pf flow build`, or both.
const KEYS: [&str; 5] = ["image", "python_requirements_txt", "conda_file", "setup_sh", "runtime_image"];
/// What `pf flow build` adds for its own templates.
const INTERNAL: [&str; 2] = ["sdk_version", "conda_env_name"];

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(flow) = context.flow_file() else { return Vec::new() };
    let Some(environment) = flow.document.root.get("environment") else { return Vec::new() };
    let entries = environment.value.mapping().unwrap_or(&[]);
    let has = |name: &str| entries.iter().any(|entry| entry.key.text() == Some(name));
    let unknown = entries.iter().filter_map(|entry| {
        let key = entry.key.text()?;
        let known = KEYS.contains(&key) || INTERNAL.contains(&key) || look_alike::find(key).is_some();
        // Template text is not a key.
        (!known && !key.contains(['{', '<', '$'])).then_some((entry, key))
    });
    let mut given: Vec<&str> = Vec::new();
    unknown
        .map(|(entry, key)| {
            let at = Place { file: flow.file, span: entry.key.span };
            let finding = Finding::new(Level::Warning, at, format!("nothing reads `environment.{key}`"));
            let near = nearest(key);
            if near.is_some_and(|near| has(near) || given.contains(&near)) {
                return finding.help("remove it");
            }
            given.extend(near);
            suggest::name(finding, key, meant(key), &KEYS)
        })
        .collect()
}

/// The key that an unknown one most likely stands for.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    meant(key).or_else(|| suggest::nearest(key, KEYS.into_iter()))
}

/// Keys that people write for another, or that other tools call so.
fn meant(key: &str) -> Option<&'static str> {
    let normal = key.replace('-', "_").to_lowercase();
    if let Some(same) = KEYS.into_iter().find(|name| *name == normal && normal != key) {
        return Some(same);
    }
    match normal.as_str() {
        "python_requirements"
        | "requirements"
        | "requirements_txt"
        | "requirements.txt"
        | "pip_requirements"
        | "requirements_file"
        | "python_requirement_txt" => Some("python_requirements_txt"),
        "base_image" | "docker_image" | "container_image" => Some("image"),
        "conda" | "conda_yaml" | "conda_yml" | "conda_env" => Some("conda_file"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn misspelt_and_unknown() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
environment:
  pyton_requirements_txt: requirements.txt
# ^^^^^^^^^^^^^^^^^^^^^^ warning[unknown-environment-key]: nothing reads `environment.pyton_requirements_txt`
  Image: x:1
# ^^^^^ warning[unknown-environment-key]: nothing reads `environment.Image`
  build: {path: .}
# ^^^^^ warning[unknown-environment-key]: nothing reads `environment.build`
  sdk_version: 1.0
  '{{key}}': x
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml
entry: a:b
environment:
  image: x:1
  base_image: y:1
# ^^^^^^^^^^ warning[unknown-environment-key]: nothing reads `environment.base_image`
",
        );
        fixture::raises(&super::RULE, "#- flow.dag.yaml\nenvironment: x\n");
    }
}
