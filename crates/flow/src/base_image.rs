//! Names of base images, and what is known of Microsoft's.

use std::ops::Range;

/// An image's name taken apart, after the grammar of the distribution specification:
/// `[host/]path[:tag][@algorithm:digest]`. Ranges are bytes of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, with a port; `None` for Docker Hub's images.
    pub host: Option<Range<usize>>,
    /// What follows it, up to the tag.
    pub path: Range<usize>,
    /// Without the colon.
    pub tag: Option<Range<usize>>,
    /// Without the `@`.
    pub digest: Option<Range<usize>>,
}

/// Why a name is no reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Where.
    pub range: Range<usize>,
    /// Why.
    pub message: String,
}

/// The length of a name without tag and digest.
const MAX_NAME: usize = 255;
/// The length of a tag.
const MAX_TAG: usize = 128;

impl Reference {
    /// Takes a name apart.
    pub fn parse(image: &str) -> Result<Self, Malformed> {
        let fail = |range: Range<usize>, message: String| Err(Malformed { range, message });
        if let Some(scheme) = image.find("://") {
            return fail(0..scheme + 3, "an image's name has no scheme".to_owned());
        }
        if let Some((at, c)) = image.char_indices().find(|(_, c)| c.is_whitespace()) {
            return fail(at..at + c.len_utf8(), "an image's name has no blanks".to_owned());
        }
        let (name_end, digest) = match image.find('@') {
            Some(at) => (at, Some(at + 1..image.len())),
            None => (image.len(), None),
        };
        let name = image.get(..name_end).unwrap_or("");
        // A colon behind the last slash starts the tag; before it, a port.
        let last = name.rfind('/').map_or(0, |at| at + 1);
        let colon = name.get(last..).and_then(|rest| rest.find(':')).map(|at| last + at);
        let tag = colon.map(|at| at + 1..name_end);
        let full = 0..colon.unwrap_or(name_end);
        let host = name.find('/').filter(|at| *at <= full.end).and_then(|at| {
            let first = name.get(..at)?;
            let is_host = first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_uppercase());
            is_host.then_some(0..at)
        });
        let path = host.as_ref().map_or(0, |host| host.end + 1)..full.end;
        let written = image.get(path.clone()).unwrap_or("");
        if written.is_empty() {
            return fail(full, "the image has no name".to_owned());
        }
        if full.len() > MAX_NAME {
            return fail(full, format!("the name is longer than {MAX_NAME} characters"));
        }
        if let Some(at) = written.find(|c: char| c.is_ascii_uppercase()) {
            return fail(path.start + at..path.start + at + 1, "an image's name is in lower case".to_owned());
        }
        let mut at = path.start;
        for part in written.split('/') {
            if !is_component(part) {
                let message = if part.is_empty() {
                    "a part of the name is empty".to_owned()
                } else {
                    format!(
                        "`{part}` is not a part of an image's name: letters, digits and single `.`, `_`, `-` between them"
                    )
                };
                return fail(at..at + part.len(), message);
            }
            at += part.len() + 1;
        }
        if let Some(range) = tag.clone().filter(|range| !is_tag(image.get(range.clone()).unwrap_or(""))) {
            let tag = image.get(range.clone()).unwrap_or("");
            return match tag {
                "" => fail(range.start - 1..range.end, "the tag is missing behind the colon".to_owned()),
                _ => fail(range, format!("`{tag}` is not a tag")),
            };
        }
        if let Some(range) = digest.clone().filter(|range| !is_digest(image.get(range.clone()).unwrap_or(""))) {
            let message = "this is not a digest: it reads `sha256:` and 64 hexadecimal digits";
            return fail(range.start - 1..range.end, message.to_owned());
        }
        Ok(Self { host, path, tag, digest })
    }
}

fn is_component(part: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    is_end(part.chars().next())
        && is_end(part.chars().next_back())
        && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= MAX_TAG && tag.starts_with(word) && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let wanted = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => hex.len().max(32),
        };
        !algorithm.is_empty() && hex.len() == wanted && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

/// The repositories of Microsoft's base image.
const REPOSITORIES: [&str; 3] = ["promptflow-runtime", "promptflow-runtime-stable", "promptflow-python"];

/// True for Microsoft's base images, which hold all of promptflow.
pub fn is_microsofts(image: &str) -> bool {
    let Some(rest) = image.strip_prefix("mcr.microsoft.com/azureml/promptflow/") else { return false };
    REPOSITORIES.contains(&rest.split([':', '@']).next().unwrap_or(""))
}

/// One version of Microsoft's base image.
pub struct Version {
    /// Its tag.
    pub tag: &'static str,
    /// What Microsoft says against it.
    pub bad: Option<&'static str>,
}

const fn good(tag: &'static str) -> Version {
    Version { tag, bad: None }
}

/// The versions in Microsoft's change log of the default runtime image, newest first. No more
/// follow: the image is no longer updated.
pub const VERSIONS: &[Version] = &[
    good("20251211.v2"),
    good("20251014.v1"),
    good("20250831.v1"),
    good("20250806.v3"),
    good("20250728.v1"),
    good("20250220.v2"),
    good("20250131.v2"),
    good("20250109.v2"),
    Version { tag: "20241214.v1", bad: Some("known issues and bugs") },
    good("20241126.v3"),
    good("20241114.v2"),
    good("20241031.v1"),
    good("20241021.v1"),
    good("20240918.v2"),
    good("20240909.v2"),
    good("20240829.v1"),
    good("20240814.v1"),
    good("20240731.v1"),
    good("20240709.v1"),
    good("20240619.v2"),
    good("20240529.v1"),
    good("20240515.v1"),
    good("20240511.v1"),
    good("20240429.v8"),
    good("20240424.v1"),
    good("20240411.v4"),
    good("20240403.v2"),
    good("20240326.v2"),
    good("20240319.v1"),
    good("20240313.v1"),
    good("20240306.v5"),
    good("20240228.v3"),
    good("20240222.v3"),
    good("20240205.v2"),
    good("20240124.v3"),
    good("20240116.v1"),
    good("20240111.v2"),
];

/// The version of Microsoft's image that a name means, where Microsoft warns of it.
pub fn known_bad(image: &str) -> Option<&'static Version> {
    // The multi-container image has versions of its own.
    if !is_microsofts(image) || image.contains("promptflow-python") {
        return None;
    }
    let Ok(Reference { tag: Some(tag), digest: None, .. }) = Reference::parse(image) else { return None };
    let tag = image.get(tag)?;
    VERSIONS.iter().find(|version| version.tag == tag && version.bad.is_some())
}

/// The newest tag in the change log.
pub const NEWEST: &str = "20251211.v2";

/// The date of a tag such as `20251211.v2`, which compares as the tag's age does.
pub fn date(tag: &str) -> Option<u32> {
    version(tag).map(|(date, _)| date)
}

/// The date of a tag such as `20251211.v2`, and its number on that day.
fn version(tag: &str) -> Option<(u32, u32)> {
    let (date, number) = tag.split_once(".v")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = (date.len() == 8 && digits(date) && digits(number)).then(|| (date.parse(), number.parse()))?;
    Some((numbers.0.ok()?, numbers.1.ok()?))
}

/// The tags that read as a version of the image, newest first: a registry gives them in any order.
pub fn versions(tags: &[String]) -> Vec<String> {
    let mut versions: Vec<_> = tags.iter().filter_map(|tag| Some((version(tag)?, tag))).collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, tag)| tag.clone()).collect()
}

/// True for an image that may hold a promptflow older than 1.8, which came out in April 2024.
pub fn may_precede_core(image: &str) -> bool {
    image.rsplit_once(':').and_then(|(_, tag)| date(tag)).is_some_and(|date| date < 2024_0601)
}

/// The minor version of Python 3 in one of Microsoft's images. In the first months of 2025 it went
/// from 9 to 10; the newer one is taken for all of them.
pub fn python(image: &str) -> Option<u8> {
    if !is_microsofts(image) {
        return None;
    }
    let date = image.rsplit_once(':').and_then(|(_, tag)| date(tag));
    Some(if date.is_some_and(|date| date < 2025_0101) { 9 } else { 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let shown = |image: &str| match Reference::parse(image) {
            Ok(r) => {
                let part = |range: &Option<Range<usize>>| range.clone().map_or("-", |range| &image[range]).to_owned();
                format!("{} {} {} {}", part(&r.host), &image[r.path.clone()], part(&r.tag), part(&r.digest))
            }
            Err(error) => format!("{:?}: {}", &image[error.range.clone()], error.message),
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(shown("python"), "- python - -");
        assert_eq!(shown("python:3.11"), "- python 3.11 -");
        assert_eq!(shown("localhost:5000/a/b"), "localhost:5000 a/b - -");
        assert_eq!(
            shown("x.azurecr.io/a__b/c--d:1_2@".to_owned().as_str()),
            "\"@\": this is not a digest: it reads `sha256:` and 64 hexadecimal digits"
        );
        assert_eq!(shown(&format!("x.azurecr.io/a:1@{digest}")), format!("x.azurecr.io a 1 {digest}"));
        assert_eq!(shown("x/Y"), "\"Y\": an image's name is in lower case");
        assert_eq!(shown("https://x/y"), "\"https://\": an image's name has no scheme");
        assert_eq!(shown("x y"), "\" \": an image's name has no blanks");
        assert_eq!(shown("x//y"), "\"\": a part of the name is empty");
        assert_eq!(
            shown("x/-y"),
            "\"-y\": `-y` is not a part of an image's name: letters, digits and single `.`, `_`, `-` between them"
        );
        assert_eq!(shown("x:"), "\":\": the tag is missing behind the colon");
        assert_eq!(shown("x:a:b"), "\"a:b\": `a:b` is not a tag");
        assert_eq!(
            shown("x@sha256"),
            "\"@sha256\": this is not a digest: it reads `sha256:` and 64 hexadecimal digits"
        );
        assert_eq!(shown(""), "\"\": the image has no name");
    }

    #[test]
    fn the_change_log_is_in_order() {
        assert_eq!(VERSIONS.first().map(|v| v.tag), Some(NEWEST));
        assert!(VERSIONS.windows(2).all(|pair| date(pair[0].tag) > date(pair[1].tag)));
        assert_eq!(date("latest"), None);
    }

    #[test]
    fn the_version_that_microsoft_warns_of() {
        let tag = |image: &str| known_bad(image).map(|version| version.tag);
        let name = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime";
        assert_eq!(tag(&format!("{name}:20241214.v1")), Some("20241214.v1"));
        assert_eq!(tag(&format!("{name}-stable:20241214.v1")), Some("20241214.v1"));
        let digest = format!("{name}:20241214.v1@sha256:{}", "0".repeat(64));
        for other in [&format!("{name}:20250109.v2"), name, "other/promptflow-runtime:20241214.v1", &digest] {
            assert_eq!(tag(other), None, "{other}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        let tags =
            ["20240411.v4", "latest", "20240411.v10", "20231011.v2", "2024041.v1", "20240411.v", "20240411.v1-x"];
        assert_eq!(versions(&tags.map(str::to_owned)), ["20240411.v10", "20240411.v4", "20231011.v2"]);
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_taken_apart(image in "[a-zA-Z0-9:/@._ é-]{0,40}") {
            if let Err(error) = Reference::parse(&image) {
                assert!(image.get(error.range).is_some());
            }
        }
    }
}
