//! Documentation derived from the declarations: rule pages and JSON schemas. `cargo xtask docs`
//! writes them; with `--check` it fails where a file is not current.

use flowgate_check::{Level, Rule, rules};

use crate::check::level_name;
use crate::{base_image, check, compute, environment, feed, run, runtime};

/// Every generated file: its path in the repository and its content.
///
/// # Errors
/// None in practice: a schema holds nothing that JSON cannot say.
pub fn generated() -> Result<Vec<(String, String)>, serde_json::Error> {
    let mut files = vec![("docs/rules/README.md".to_owned(), index())];
    files.extend(rules::ALL.iter().map(|rule| (format!("docs/rules/{}.md", rule.name), page(rule))));
    let schema = |schema: schemars::Schema| Ok::<_, serde_json::Error>(serde_json::to_string_pretty(&schema)? + "\n");
    files.push(("docs/check-report.schema.json".to_owned(), schema(schemars::schema_for!(check::json::Report))?));
    files.push(("docs/run-report.schema.json".to_owned(), schema(schemars::schema_for!(run::json::Report))?));
    files.push((
        "docs/environment.schema.json".to_owned(),
        schema(schemars::schema_for!(environment::json::WireEnvironment))?,
    ));
    files.push(("docs/doctor-feed.schema.json".to_owned(), schema(schemars::schema_for!(feed::json::Report))?));
    files.push(("docs/runtime.schema.json".to_owned(), schema(schemars::schema_for!(runtime::json::WireRuntimes))?));
    let transition = schemars::schema_for!(runtime::json::WireTransition<'_>);
    files.push(("docs/runtime-transition.schema.json".to_owned(), schema(transition)?));
    files.push(("docs/compute.schema.json".to_owned(), schema(schemars::schema_for!(compute::json::WireComputes))?));
    let check_version = schemars::schema_for!(base_image::json::Report<'_>);
    files.push(("docs/check-version.schema.json".to_owned(), schema(check_version)?));
    files.push(("docs/flowgate.schema.json".to_owned(), serde_json::to_string_pretty(&configuration())? + "\n"));
    Ok(files)
}

/// The schema of `flowgate.yaml`, with the rules by name: an editor completes and explains them.
fn configuration() -> serde_json::Value {
    let mut schema = schemars::schema_for!(flowgate_flow::config::Config).to_value();
    let rules = rules::ALL.iter().map(|rule| {
        let property = serde_json::json!({"description": rule.summary, "$ref": "#/$defs/RuleLevel"});
        (rule.name.to_owned(), property)
    });
    let rules: serde_json::Map<_, _> = rules.collect();
    if let Some(section) = schema.pointer_mut("/$defs/CheckConfig/properties/rules").and_then(|s| s.as_object_mut()) {
        section.insert("properties".to_owned(), rules.into());
        section.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

fn index() -> String {
    let mut out =
        "# Rules\n\nGenerated from the declarations in `crates/check/src/rules/` by `cargo xtask docs`.\n".to_owned();
    let mut groups: Vec<_> = rules::ALL.iter().map(|rule| rule.group).collect();
    groups.sort();
    groups.dedup();
    for group in groups {
        out += &format!("\n## {}\n\n| rule | level | finds | fix |\n|---|---|---|---|\n", group.title());
        for rule in rules::ALL.iter().filter(|rule| rule.group == group) {
            let fix = if rule.fix.is_some() { "yes" } else { "" };
            let cases = if rule.cases.is_empty() { String::new() } else { format!(" {}", cases(rule)) };
            out += &format!(
                "| [{0}]({0}.md) | {1} | {2}{cases} | {fix} |\n",
                rule.name,
                level_name(rule.level),
                rule.summary.replace('|', "\\|")
            );
        }
    }
    out
}

/// The names of the faults that a rule stands for.
fn cases(rule: &Rule) -> String {
    format!("Covers `{}`.", rule.cases.join("`, `"))
}

/// A rule's page, as Markdown.
pub fn page(rule: &Rule) -> String {
    let level = match rule.level {
        Level::Error => "an error",
        Level::Warning => "a warning",
        Level::Hint => "a hint",
    };
    let by_default = if rule.is_notice() {
        "Off by default. Turn it on with `--select`, or in `flowgate.yaml`; a report then says it once, on the first flow of its paths, as a hint:\n\n```yaml\ncheck:\n  rules:\n    NAME: hint\n```"
            .replace("NAME", rule.name)
    } else {
        format!("By default {level}.")
    };
    let fix = rule.fix.unwrap_or("None: what was meant cannot be told from the file.");
    format!(
        "# {}\n\n{by_default}\n\n## What it finds\n\n{}{}\n\n## Why it is bad\n\n{}\n\n## Example\n\n{}## Use instead\n\n{}## Fix\n\n{fix}\n\n## Silence it\n\n```yaml\n# flowgate: ignore[{}] the reason\n```\n\nat the end of the line, or on a line of its own above it; or for every file in `flowgate.yaml`:\n\n```yaml\ncheck:\n  rules:\n    {}: off\n```\n",
        rule.name,
        rule.summary,
        if rule.cases.is_empty() { String::new() } else { format!("\n\n{}", cases(rule)) },
        rule.why,
        files(rule.bad),
        files(rule.good),
        rule.name,
        rule.name,
    )
}

/// The files of an example, each under its name.
fn files(fixture: &str) -> String {
    let mut out = String::new();
    for file in fixture.split("#- ").filter(|file| !file.is_empty()) {
        let (name, text) = file.split_once('\n').unwrap_or((file, ""));
        if text.is_empty() {
            continue;
        }
        let language = if name.ends_with(".yaml") { "yaml" } else { "text" };
        let text = crate::escape::terminal(text);
        out += &format!("`{name}`\n\n```{language}\n{}\n```\n\n", text.trim_end_matches('\n'));
    }
    out
}
