//! Pages of an index: HTML (PEP 503) and JSON (PEP 691), read and written.

use std::borrow::Cow;
use std::fmt;

use html5gum::{StartTag, Token, Tokenizer};
use percent_encoding::percent_decode_str;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::wheels::{Target, usable};

/// The media type of PEP 691's JSON.
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// What is asked for, the best first.
pub(super) const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// The version of the repository API that is written.
const API_VERSION: &str = "1.0";
/// Files of one page: the largest project of the public index has a tenth of it.
const MAX_FILES: usize = 200_000;

/// One file that a page names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) filename: String,
    /// Absolute, without a fragment.
    pub(super) url: Url,
    /// In lower-case hexadecimal.
    pub(super) sha256: Option<String>,
    /// Another hash, `name=value`: an installer checks it, the gate cannot.
    pub(super) other_hash: Option<String>,
    pub(super) requires_python: Option<String>,
    /// The reason, which may be empty.
    pub(super) yanked: Option<String>,
    /// Whether `<url>.metadata` is there (PEP 658), and its sha256.
    pub(super) metadata: Option<Option<String>>,
}

/// Reads a page. What names no file is left out, and so is what another target alone could use.
///
/// # Errors
/// Why that is no page of an index, as a lower-case fragment.
pub(super) fn read(base: &Url, content_type: &str, body: &[u8], target: Option<&Target>) -> Result<Vec<Entry>, String> {
    let kind = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let entries = match kind.as_str() {
        "application/json" => return Err("it is JSON of another kind".to_owned()),
        JSON => read_json(base, body, target)?,
        "text/html" | "application/xhtml+xml" | "application/vnd.pypi.simple.v1+html" | "" => {
            usable(read_html(base, body), |entry| &entry.filename, target)
        }
        _ => return Err(format!("its type is `{}`", crate::wire::clip(kind, 60))),
    };
    if entries.len() > MAX_FILES {
        return Err(format!("it names more than {MAX_FILES} files"));
    }
    Ok(entries)
}

#[derive(Deserialize)]
struct JsonPage<'p> {
    #[serde(borrow)]
    files: Vec<JsonFile<'p>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile<'p> {
    filename: String,
    #[serde(borrow)]
    url: Cow<'p, str>,
    #[serde(default)]
    hashes: Hashes,
    requires_python: Option<String>,
    yanked: Option<Flag<String>>,
    core_metadata: Option<Flag<Hashes>>,
    // Older names of the same; an index may write all of them.
    dist_info_metadata: Option<Flag<Hashes>>,
    data_dist_info_metadata: Option<Flag<Hashes>>,
}

/// A mapping from names of hashes to their values.
#[derive(Default)]
struct Hashes {
    sha256: Option<String>,
    /// The first of the others, `name=value`.
    other: Option<String>,
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Hashes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of hashes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hashes, A::Error> {
                let mut hashes = Hashes::default();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, serde_json::Value>()? {
                    let serde_json::Value::String(value) = value else { continue };
                    match name.as_ref() {
                        "sha256" => hashes.sha256 = sha256(value),
                        name => {
                            hashes.other =
                                hashes.other.or(Some(format!("{name}={value}")).filter(|hash| is_plain(hash)))
                        }
                    }
                }
                Ok(hashes)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// `true`, `false`, or something that says more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag<T> {
    Plain(bool),
    More(T),
}

impl<T> Flag<T> {
    /// What it says; of a plain `true` that is `plain`.
    fn set(self, plain: T) -> Option<T> {
        match self {
            Self::Plain(set) => set.then_some(plain),
            Self::More(more) => Some(more),
        }
    }
}

fn read_json(base: &Url, body: &[u8], target: Option<&Target>) -> Result<Vec<Entry>, String> {
    let page: JsonPage<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let files = usable(page.files, |file| &file.filename, target);
    let entries = files.into_iter().filter_map(|file| {
        let mut url = base.join(&file.url).ok()?;
        url.set_fragment(None);
        let metadata = file.core_metadata.or(file.dist_info_metadata).or(file.data_dist_info_metadata);
        Some(Entry {
            filename: filename(file.filename)?,
            url,
            sha256: file.hashes.sha256,
            other_hash: file.hashes.other,
            requires_python: file.requires_python,
            yanked: file.yanked.and_then(|yanked| yanked.set(String::new())),
            metadata: metadata.and_then(|flag| flag.set(Hashes::default())).map(|hashes| hashes.sha256),
        })
    });
    Ok(entries.collect())
}

fn read_html(base: &Url, body: &[u8]) -> Vec<Entry> {
    let mut base = base.clone();
    let mut entries = Vec::new();
    for Ok(token) in Tokenizer::new(body) {
        let Token::StartTag(tag) = token else { continue };
        match tag.name.as_slice() {
            b"base" => {
                if let Some(url) = attribute(&tag, "href").and_then(|href| base.join(&href).ok()) {
                    base = url;
                }
            }
            b"a" => entries.extend(anchor(&base, &tag)),
            _ => {}
        }
    }
    entries
}

fn anchor(base: &Url, tag: &StartTag<()>) -> Option<Entry> {
    let mut url = base.join(attribute(tag, "href")?.trim()).ok()?;
    let fragment = url.fragment().unwrap_or("").to_owned();
    url.set_fragment(None);
    let (hash, value) = fragment.split('&').next().unwrap_or("").split_once('=').unwrap_or_default();
    let last = url.path_segments()?.next_back()?.to_owned();
    let metadata = attribute(tag, "data-core-metadata").or_else(|| attribute(tag, "data-dist-info-metadata"));
    Some(Entry {
        filename: filename(percent_decode_str(&last).decode_utf8().ok()?.into_owned())?,
        url,
        sha256: if hash == "sha256" { sha256(value.to_owned()) } else { None },
        other_hash: (hash != "sha256" && !value.is_empty() && is_plain(&fragment)).then(|| format!("{hash}={value}")),
        requires_python: attribute(tag, "data-requires-python"),
        yanked: attribute(tag, "data-yanked"),
        metadata: metadata
            .filter(|text| text != "false")
            .map(|text| text.strip_prefix("sha256=").and_then(|hash| sha256(hash.to_owned()))),
    })
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The name of an archive; `None` for what is no name of one, such as a link to another page.
pub(super) fn filename(text: String) -> Option<String> {
    let archive = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"].iter().any(|end| text.ends_with(end));
    let plain = text.len() <= 200
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+!".contains(&byte));
    (archive && plain).then_some(text)
}

fn sha256(mut text: String) -> Option<String> {
    text.make_ascii_lowercase();
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

fn is_plain(hash: &str) -> bool {
    hash.len() <= 200 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=_-".contains(&byte))
}

/// What a page says of one file, with the gate's own URL for it.
pub(super) struct Offer<'e> {
    pub(super) entry: &'e Entry,
    /// Relative to the gate's root: `/f/1/a.whl`.
    pub(super) path: String,
}

#[derive(Serialize)]
struct WrittenPage<'p> {
    meta: Meta,
    name: &'p str,
    files: Vec<WrittenFile<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    api_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WrittenFile<'p> {
    filename: &'p str,
    url: &'p str,
    #[serde(serialize_with = "write_hashes")]
    hashes: &'p Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<Yanked<'p>>,
    core_metadata: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Yanked<'p> {
    Plain(bool),
    Reason(&'p str),
}

fn write_hashes<S: Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(hashes(entry))
}

/// A page as JSON.
pub(super) fn write_json(project: &str, offers: &[Offer<'_>]) -> Vec<u8> {
    let files = offers.iter().map(|Offer { entry, path }| WrittenFile {
        filename: &entry.filename,
        url: path,
        hashes: entry,
        requires_python: entry.requires_python.as_deref(),
        yanked: entry.yanked.as_deref().map(|reason| match reason {
            "" => Yanked::Plain(true),
            reason => Yanked::Reason(reason),
        }),
        // Its hash is the gate's to verify, and one for each file is a quarter of a page.
        core_metadata: entry.metadata.is_some(),
    });
    let page = WrittenPage { meta: Meta { api_version: API_VERSION }, name: project, files: files.collect() };
    serde_json::to_vec(&page).unwrap_or_default()
}

fn hashes(entry: &Entry) -> impl Iterator<Item = (&str, &str)> {
    let other = entry.other_hash.as_deref().and_then(|text| text.split_once('='));
    entry.sha256.as_deref().map(|hash| ("sha256", hash)).into_iter().chain(other)
}

/// A page as HTML.
pub(super) fn write_html(project: &str, offers: &[Offer<'_>]) -> Vec<u8> {
    use std::fmt::Write;
    let mut text = format!(
        "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"{API_VERSION}\"><title>{project}</title></head><body>\n"
    );
    for Offer { entry, path } in offers {
        let fragment = hashes(entry).next().map_or(String::new(), |(name, value)| format!("#{name}={value}"));
        let _ = write!(text, "<a href=\"{path}{fragment}\"");
        if let Some(python) = &entry.requires_python {
            let _ = write!(text, " data-requires-python=\"{}\"", escape(python));
        }
        if let Some(reason) = &entry.yanked {
            let _ = write!(text, " data-yanked=\"{}\"", escape(reason));
        }
        if entry.metadata.is_some() {
            text.push_str(" data-core-metadata=\"true\" data-dist-info-metadata=\"true\"");
        }
        let _ = writeln!(text, ">{}</a><br>", entry.filename);
    }
    text.push_str("</body></html>\n");
    text.into_bytes()
}

/// A text within a tag or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        Url::parse("https://host/simple/pkg/").unwrap()
    }

    const HASH: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

    /// What is written says all that was read, but for the hash of a file's metadata.
    fn same_both_ways(entries: &[Entry]) {
        let offers: Vec<Offer<'_>> = entries.iter().map(|entry| Offer { entry, path: entry.url.to_string() }).collect();
        let said = |entry: &Entry| Entry { metadata: entry.metadata.as_ref().map(|_| None), ..entry.clone() };
        let said: Vec<Entry> = entries.iter().map(said).collect();
        assert_eq!(read(&base(), JSON, &write_json("pkg", &offers), None).unwrap(), said);
        assert_eq!(read(&base(), "text/html", &write_html("pkg", &offers), None).unwrap(), said);
    }

    #[test]
    fn a_page_in_html_is_read_as_pip_reads_it() {
        let page = format!(
            "<html><head><base href='../../files/'></head><body><a href=\"..\">up</a>\
             <A HREF='pkg-1.0%2Blocal-py3-none-any.whl#sha256={HASH}' data-requires-python='&gt;=3.8,&lt;4' data-dist-info-metadata=true>x</A>\
             <a href=\"https://other/pkg-1.0.tar.gz?sig=1&amp;x=2#md5=abc\" data-yanked=\"it &quot;broke&quot;\">pkg-1.0.tar.gz</a>\
             <!-- <a href='pkg-2.0.zip'></a> --><a href='javascript:pkg.zip'></a>"
        );
        let entries = read(&base(), "text/html; charset=utf-8", page.as_bytes(), None).unwrap();
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert_eq!(entries[0].url.as_str(), "https://host/files/pkg-1.0%2Blocal-py3-none-any.whl");
        assert_eq!(entries[0].filename, "pkg-1.0+local-py3-none-any.whl");
        assert_eq!(entries[0].sha256, Some(HASH.to_ascii_lowercase()));
        assert_eq!(entries[0].requires_python.as_deref(), Some(">=3.8,<4"));
        assert_eq!(entries[0].metadata, Some(None));
        assert_eq!(entries[1].url.as_str(), "https://other/pkg-1.0.tar.gz?sig=1&x=2");
        assert_eq!(entries[1].other_hash.as_deref(), Some("md5=abc"));
        assert_eq!(entries[1].yanked.as_deref(), Some("it \"broke\""));
        same_both_ways(&entries);
    }

    #[test]
    fn a_page_in_json_is_read() {
        let page = serde_json::json!({"meta": {"api-version": "1.4"}, "name": "pkg", "files": [
            {"filename": "pkg-1.0-py3-none-any.whl", "url": "/f/pkg-1.0-py3-none-any.whl", "hashes": {"sha256": HASH},
             "core-metadata": {"sha256": HASH}, "data-dist-info-metadata": {"sha256": HASH}, "yanked": false, "size": 1},
            {"filename": "pkg-0.9.tar.gz", "url": "pkg-0.9.tar.gz", "hashes": {}, "yanked": "old", "requires-python": null},
            {"filename": "../../etc/passwd.zip", "url": "x.zip", "hashes": {}},
        ]});
        let entries = read(&base(), JSON, page.to_string().as_bytes(), None).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].metadata, Some(Some(HASH.to_ascii_lowercase())));
        assert_eq!(entries[1].yanked.as_deref(), Some("old"));
        assert_eq!(entries[1].url.as_str(), "https://host/simple/pkg/pkg-0.9.tar.gz");
        same_both_ways(&entries);
        assert!(read(&base(), "application/json", b"{}", None).is_err());
        assert_eq!(read(&base(), "image/png", b"", None).unwrap_err(), "its type is `image/png`");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_page_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), json in any::<bool>()) {
            let _ = read(&base(), if json { JSON } else { "text/html" }, &bytes, None);
        }

        #[test]
        fn no_text_leaves_its_attribute(text in "[ -~]{0,40}") {
            let entry = Entry {
                filename: "a-1.zip".to_owned(), url: Url::parse("https://h/a-1.zip").unwrap(), sha256: None, other_hash: None,
                requires_python: Some(text.clone()), yanked: Some(text), metadata: None,
            };
            same_both_ways(&[entry]);
        }
    }
}
