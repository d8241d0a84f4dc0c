//! Another base image in a flow.dag.yaml.

use flowgate_flow::base_image::{Reference, is_microsofts, known_bad, versions};
use flowgate_flow::yaml;

/// The text of a flow with that image as `environment.image`. The rest stays as it is.
///
/// # Errors
/// Why it is not changed: a fragment.
pub fn with_image(text: &str, image: &str) -> Result<String, String> {
    let root = yaml::read(text).root;
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    // Nothing that an image's name has reads otherwise as a plain value.
    Reference::parse(image).map_err(|error| format!("`{image}` is not the name of an image: {}", error.message))?;
    let environment = root.get("environment").map(|entry| &entry.value);
    let changed = match environment {
        Some(environment) => match (environment.get("image"), environment.mapping().and_then(|all| all.first())) {
            (Some(entry), _) if !entry.value.alias && !entry.value.span.is_empty() => {
                format!("{}{image}{}", &text[..entry.value.span.start], &text[entry.value.span.end..])
            }
            (None, Some(first)) => {
                let at = text[..first.key.span.start].rfind('\n').map_or(0, |at| at + 1);
                let indent = &text[at..first.key.span.start];
                format!("{}{indent}image: {image}{newline}{}", &text[..at], &text[at..])
            }
            _ => return Err(by_hand(image)),
        },
        None => {
            let mut out = text.trim_end_matches(['\r', '\n', ' ']).to_owned();
            out = format!("{out}{newline}environment:{newline}  image: {image}{newline}");
            out
        }
    };
    // A change by text alone is proven by reading it.
    let read = yaml::read(&changed);
    let now = read.root.get("environment").and_then(|entry| entry.value.get("image"));
    let is_there = now.and_then(|entry| entry.value.text()) == Some(image) && read.is_complete();
    let others = |root: &yaml::Node| root.mapping().map(|all| all.iter().filter(|one| !is_environment(one)).count());
    match is_there && others(&read.root) == others(&root) {
        true => Ok(changed),
        false => Err(by_hand(image)),
    }
}

fn is_environment(entry: &yaml::Entry) -> bool {
    entry.key.text() == Some("environment")
}

fn by_hand(image: &str) -> String {
    format!("it is not written as blocks of keys: write `image: {image}` below `environment` yourself")
}

/// The newest version of an image, of the tags that its registry has, but those that Microsoft warns of. `None` where no tag
/// reads as a version.
pub fn newest(image: &str, tags: &[String]) -> Option<String> {
    let repository = repository(image)?;
    let images = versions(tags).into_iter().map(|tag| format!("{repository}:{tag}"));
    images.into_iter().find(|image| !is_microsofts(image) || known_bad(image).is_none())
}

/// An image's name without its tag and its digest.
pub fn repository(image: &str) -> Option<&str> {
    image.get(..Reference::parse(image).ok()?.path.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_put_in_its_place() {
        for (text, changed) in [
            ("a: 1\nenvironment:\n  image: x:1  # why\nb: 2\n", "a: 1\nenvironment:\n  image: y/z:2  # why\nb: 2\n"),
            ("environment: {image: 'x'}\n", "environment: {image: y/z:2}\n"),
            ("environment:\r\n    b: 1\r\n", "environment:\r\n    image: y/z:2\r\n    b: 1\r\n"),
            ("a: 1\n\n", "a: 1\nenvironment:\n  image: y/z:2\n"),
        ] {
            assert_eq!(with_image(text, "y/z:2").as_deref(), Ok(changed), "{text}");
        }
        for text in ["{a: 1}\n", "environment: {b: 1}\n", "environment:\n", "environment:\n  image:\n", "a: 1\n...\n"] {
            assert!(with_image(text, "y/z:2").is_err(), "{text}: {:?}", with_image(text, "y/z:2"));
        }
        assert!(with_image("a: 1\n", "x y").unwrap_err().contains("no blanks"));
    }

    #[test]
    fn the_newest_version_that_is_good() {
        let tags = ["20241214.v1", "latest", "20241126.v3", "20241114.v2"].map(str::to_owned);
        let image = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime";
        let newest_of = |image: &str| newest(image, &tags);
        assert_eq!(newest_of(&format!("{image}:20240111.v2")), Some(format!("{image}:20241126.v3")));
        assert_eq!(newest_of("own.example.com:5000/a@sha256:").as_deref(), None);
        assert_eq!(newest_of("own.example.com:5000/a:b").as_deref(), Some("own.example.com:5000/a:20241214.v1"));
        assert_eq!(newest("a:1", &["latest".to_owned()]), None);
    }
}
