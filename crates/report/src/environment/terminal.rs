//! Environments on a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use flowgate_flow::credential::mask;
use flowgate_runtime::environment::packages::Packages;
use flowgate_runtime::environment::show::Environment;

use crate::check::plural;
use crate::escape;

fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:<13}{value}");
}

/// What goes into the environment of a flow, and whether it is built.
pub fn plan(environment: &Environment, flow: &str) -> String {
    let mut out = format!("{flow}\n");
    let mut row = |name: &str, value: &str| row(&mut out, name, value);
    row("image", &environment.image);
    row(
        "state",
        match environment.cached {
            Some(true) => "built",
            Some(false) => "not built",
            None => "unknown: no engine answers",
        },
    );
    row("key", environment.key.as_deref().unwrap_or("unknown: the base image is not in the engine"));
    row("base", &environment.base);
    row("python", &environment.python);
    row("platform", &environment.platform);
    if !environment.index_hosts.is_empty() {
        row("index hosts", &environment.index_hosts.join(", "));
    }
    for (number, (line, place)) in environment.requirements.iter().enumerate() {
        row(if number == 0 { "requirements" } else { "" }, &format!("{}  ({place})", mask(line)));
    }
    if let Some(refused) = &environment.refused {
        row("refused", refused);
    }
    for warning in &environment.warnings {
        let _ = writeln!(out, "  warning: {warning}");
    }
    escape::terminal(&out)
}

/// What was built for a flow: the image, and what its requirements brought.
pub fn show(environment: &Environment, flow: &str) -> String {
    let mut out = format!("{flow}\n");
    row(&mut out, "image", &environment.image);
    row(&mut out, "key", environment.key.as_deref().unwrap_or("unknown: the base image is not in the engine"));
    row(&mut out, "base", &environment.base);
    match &environment.packages {
        None => row(&mut out, "packages", "unknown: the image does not say what is installed in it"),
        Some(packages) => {
            row(&mut out, "packages", &counts(packages));
            for (title, group) in [("required", &packages.requirements), ("along", &packages.transitive)] {
                for (number, (name, version)) in group.iter().enumerate() {
                    row(&mut out, if number == 0 { title } else { "" }, &format!("{name} {version}"));
                }
            }
        }
    }
    for warning in &environment.warnings {
        let _ = writeln!(out, "  warning: {warning}");
    }
    escape::terminal(&out)
}

/// `112 of the base, 2 required, 5 along with them`.
fn counts(packages: &Packages) -> String {
    format!(
        "{} of the base, {} required, {} along with them",
        packages.base.len(),
        packages.requirements.len(),
        packages.transitive.len()
    )
}

/// The packages of an environment, by where they come from.
pub fn packages(packages: &Packages) -> String {
    let mut out = String::new();
    for (title, group) in
        [("requirements", &packages.requirements), ("transitive", &packages.transitive), ("base", &packages.base)]
    {
        if !group.is_empty() {
            let _ = writeln!(out, "{title} ({})", plural(group.len(), "package"));
            out += &list(group);
        }
    }
    escape::terminal(&out)
}

fn list(group: &BTreeMap<String, String>) -> String {
    let width = group.keys().map(String::len).max().unwrap_or(0);
    group.iter().map(|(name, version)| format!("  {name:<width$}  {version}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use expect_test::expect;

    use super::*;

    fn environment() -> Environment {
        let versions = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
        };
        Environment {
            flow: PathBuf::from("/r/flows/chat"),
            key: Some("0123456789abcdef".repeat(4)),
            base: "flowgate-base:1.18.5".to_owned(),
            requirements: vec![
                ("numpy>=2".to_owned(), "requirements.txt:1".to_owned()),
                ("x @ https://user:hunter2@host/x.whl".to_owned(), "more.txt:3".to_owned()),
            ],
            index_hosts: vec!["pypi.org".to_owned()],
            python: "3.11".to_owned(),
            platform: "linux/amd64".to_owned(),
            image: "flowgate-env:trusted-0123456789abcdef".to_owned(),
            cached: Some(true),
            packages: Some(Packages {
                base: versions(&[("promptflow", "1.18.5")]),
                requirements: versions(&[("numpy", "2.1.0")]),
                transitive: versions(&[]),
            }),
            warnings: vec!["more.txt:3: the URL has no hash.".to_owned()],
            changed: None,
            refused: None,
        }
    }

    #[test]
    fn a_plan_for_people() {
        expect![[r#"
            flows/chat
              image        flowgate-env:trusted-0123456789abcdef
              state        built
              key          0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
              base         flowgate-base:1.18.5
              python       3.11
              platform     linux/amd64
              index hosts  pypi.org
              requirements numpy>=2  (requirements.txt:1)
                           x @ https://user:*******@host/x.whl  (more.txt:3)
              warning: more.txt:3: the URL has no hash.
        "#]]
        .assert_eq(&plan(&environment(), "flows/chat"));
        assert!(!plan(&environment(), "f\u{1b}[2J").contains('\u{1b}'));
    }

    #[test]
    fn what_was_built_for_people() {
        expect![[r#"
            flows/chat
              image        flowgate-env:trusted-0123456789abcdef
              key          0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
              base         flowgate-base:1.18.5
              packages     1 of the base, 1 required, 0 along with them
              required     numpy 2.1.0
              warning: more.txt:3: the URL has no hash.
        "#]]
        .assert_eq(&show(&environment(), "flows/chat"));
    }

    #[test]
    fn packages_by_where_they_come_from() {
        expect![[r#"
            requirements (1 package)
              numpy  2.1.0
            base (1 package)
              promptflow  1.18.5
        "#]]
        .assert_eq(&packages(environment().packages.as_ref().unwrap()));
    }
}
