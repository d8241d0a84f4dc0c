//! One spelling for each meaning of a requirement line, so that a comment, an order or a blank
//! does not change an environment's address.

use std::path::Path;

use flowgate_flow::include::lexical;
use flowgate_flow::requirements::{Form, Line, OptionKind, Requirement, normalize};
use pep508_rs::VersionOrUrl;

/// The prefix of the normal form of a path.
pub(crate) const PATH: &str = "path ";

/// The meaning of a line that requires something; `None` for one that only has options. Paths are
/// relative to the flow's folder; `folder` is that of the file.
pub(crate) fn of(line: &Line, folder: &Path) -> Option<String> {
    let (subject, own) = match &line.requirement {
        Some(requirement) => (of_requirement(requirement, folder), true),
        None => (of_editable(line, folder)?, false),
    };
    let mut options: Vec<String> = line
        .options
        .iter()
        .filter(|option| own && option.kind.is_per_requirement())
        .map(|option| format!("{}={}", option.name.value, option.value.as_ref().map_or("", |v| v.value.as_str())))
        .collect();
    options.sort();
    Some(std::iter::once(subject).chain(options).collect::<Vec<_>>().join(" "))
}

fn of_requirement(requirement: &Requirement, folder: &Path) -> String {
    match (requirement.form, &requirement.parsed) {
        (Form::Path, _) => of_path(&requirement.text, folder),
        (Form::Name, Ok(parsed)) => {
            let mut extras: Vec<String> = parsed.extras.iter().map(|extra| normalize(extra.as_ref())).collect();
            extras.sort();
            let mut text = normalize(parsed.name.as_ref());
            if !extras.is_empty() {
                text += &format!("[{}]", extras.join(","));
            }
            match &parsed.version_or_url {
                Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                    let mut specifiers: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
                    specifiers.sort();
                    text += &specifiers.join(",");
                }
                Some(VersionOrUrl::Url(url)) => text += &format!(" @ {url}"),
                None => {}
            }
            match parsed.marker.try_to_string() {
                Some(marker) => format!("{text} ; {marker}"),
                None => text,
            }
        }
        // A URL, or what pip will refuse: as it is written.
        _ => requirement.text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// `-e PATH` or `-e URL`. In an image there is nothing to edit: it stands for the package itself.
fn of_editable(line: &Line, folder: &Path) -> Option<String> {
    let option = line.options.iter().find(|option| option.kind == OptionKind::Editable)?;
    let value = option.value.as_ref()?.value.as_str();
    let is_url = value.contains("://");
    Some(if is_url { value.to_owned() } else { of_path(value, folder) })
}

fn of_path(text: &str, folder: &Path) -> String {
    let (path, rest) = match text.find(['[', ';']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let path = lexical(&folder.join(path.trim()));
    let path = if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() };
    format!("{PATH}{path}{}", rest.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a line fetches that may be another thing tomorrow.
pub(crate) fn mutable(line: &Line) -> Option<String> {
    let editable = line.options.iter().find(|option| option.kind == OptionKind::Editable);
    let url = match (&line.requirement, editable) {
        (Some(requirement), _) => requirement.url()?,
        (None, Some(option)) => option.value.as_ref().map(|value| value.value.as_str())?,
        (None, None) => return None,
    };
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (scheme, rest) = address.split_once("://")?;
    let is_hash = |text: &str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some((tool, _)) = scheme.split_once('+') {
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let pinned = path.rsplit_once('@').is_some_and(|(_, revision)| is_hash(revision));
        return (!pinned).then(|| format!("the {tool} repository is not named at a commit"));
    }
    let hashed = fragment.split('&').any(|part| part.split_once('=').is_some_and(|(_, value)| is_hash(value)))
        || line.options.iter().any(|option| option.kind == OptionKind::Hash);
    (!hashed).then(|| "the URL has no hash".to_owned())
}

#[cfg(test)]
mod tests {
    use flowgate_flow::requirements::read;

    use super::*;

    fn normal(text: &str) -> Vec<String> {
        read(text).lines.iter().filter_map(|line| of(line, Path::new("deps"))).collect()
    }

    #[test]
    fn one_meaning_has_one_spelling() {
        for (one, other) in [
            ("Requests_Toolbelt >= 1.0 , < 2  # why", "requests-toolbelt<2,>=1.0"),
            ("a[Y,x]==1; python_version<'3.12'", "A [x, y] == 1 ; python_version < \"3.12\""),
            ("a==1 --hash=sha256:bb --hash=sha256:aa", "a==1 --hash=sha256:aa \\\n  --hash=sha256:bb"),
            ("./pkg", "-e pkg"),
            ("./x/../pkg[a]", "pkg/.[a]"),
        ] {
            assert_eq!(normal(one), normal(other), "{one}");
        }
        assert_eq!(normal("./pkg"), ["path deps/pkg"]);
        assert_eq!(normal("../w-1-py3-none-any.whl"), ["path w-1-py3-none-any.whl"]);
        assert_ne!(normal("a==1"), normal("a==1.1"));
        assert!(normal("--index-url https://host/simple\n# only a comment\n").is_empty());
    }

    #[test]
    fn what_may_be_another_thing_tomorrow() {
        let found = |text: &str| read(text).lines.iter().filter_map(mutable).count();
        let commit = "0123456789012345678901234567890123456789";
        for text in [
            "git+https://host/a/b",
            "a @ git+https://host/a/b@main",
            "-e git+https://host/a/b#egg=b",
            "a @ https://host/a.whl",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in [
            &format!("git+https://host/a/b@{commit}"),
            &format!("a @ https://host/a.whl#sha256={commit}{commit}"),
            "a==1",
            "./a",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }
}
