//! Users and passwords in URLs, wherever they stand in a text: in an option, in a requirement or in
//! a comment; and the keys and tokens that their shape alone betrays. What is shown to anyone goes
//! through [`mask`] first.

use std::borrow::Cow;

use crate::span::Span;

/// What stands before the `@` of a URL, where a part of it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// The user, and the password with its colon: all before the `@`.
    pub span: Span,
    /// The part that nobody may see.
    pub secret: Span,
    /// What it looks like.
    pub kind: Secret,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// A personal access token of Azure DevOps, or a key of another service of Azure.
    AzureDevOpsToken,
    /// A signed token, such as Microsoft Entra issues.
    WebToken,
    /// A token of GitHub or GitLab.
    HostToken,
    /// Any password.
    Password,
}

/// More characters stand in no credential.
const MAX_LENGTH: usize = 16 * 1024;

/// `text` with a `*` for each byte of a secret in it; all places stay where they are.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut secrets: Vec<Span> = find(text).into_iter().map(|credential| credential.secret).chain(keys(text)).collect();
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_by_key(|secret| secret.start);
    let mut masked = String::with_capacity(text.len());
    for secret in secrets {
        masked.push_str(text.get(masked.len()..secret.start).unwrap_or(""));
        masked.extend(std::iter::repeat_n('*', secret.end.saturating_sub(masked.len())));
    }
    masked.push_str(text.get(masked.len()..).unwrap_or(""));
    Cow::Owned(masked)
}

/// Keys and tokens that stand anywhere in a text: by their own shape, or by a name such as `API_KEY`
/// before them.
fn keys(text: &str) -> impl Iterator<Item = Span> {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'/');
    let mut at = 0;
    let words = std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        let start = at + bytes.get(at..)?.iter().position(|b| is_part(*b))?;
        let length = bytes[start..].iter().position(|b| !is_part(*b)).unwrap_or(bytes.len() - start);
        at = start + length;
        Some(Span::new(start, at))
    });
    words.filter(|span| span.end - span.start >= SHORTEST).filter_map(move |span| {
        let word = span.slice(text);
        let (before, after) = (text.get(..span.start).unwrap_or(""), text.get(span.end..).unwrap_or(""));
        // The two `=` of Base64 belong to the key of a storage account.
        if word.len() == 86 && after.starts_with("==") && is_mixed(word) {
            return Some(Span::new(span.start, span.end + 2));
        }
        if is_named(before) && is_random(word) {
            return Some(span);
        }
        // Tokens have no `/` and `+`, and neither begin nor end with a mark; what is beside them may.
        let mut next = span.start;
        word.split(['/', '+']).find_map(|part| {
            let start = next + part.len() - part.trim_start_matches(['-', '.']).len();
            next += part.len() + 1;
            let part = part.trim_matches(['-', '.']);
            (token(part).is_some() || is_key(part)).then_some(Span::new(start, start + part.len()))
        })
    })
}

/// No token or key of a known shape is shorter.
const SHORTEST: usize = 20;

/// Upper case, lower case and digits.
fn is_mixed(text: &str) -> bool {
    let has = |class: fn(&u8) -> bool| text.as_bytes().iter().any(class);
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
}

/// A text that nobody wrote by hand: hexadecimal digits, or letters of both cases and digits.
fn is_random(word: &str) -> bool {
    let is_hex = word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex || is_mixed(word) && !word.contains(['.', '/'])
}

/// A key of a service, by its shape: of OpenAI, PyPI, Hugging Face, npm, Slack or AWS.
fn is_key(text: &str) -> bool {
    let prefixes = ["sk-", "pypi-AgE", "hf_", "npm_", "xoxb-", "xoxp-"];
    let is_aws = text.len() == 20 && text.starts_with("AKIA") && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_aws || text.len() >= 32 && is_mixed(text) && prefixes.iter().any(|prefix| text.starts_with(prefix))
}

/// True where the text ends with a name of a secret and what assigns it: `API_KEY=`, `token: "`.
fn is_named(before: &str) -> bool {
    let before = before.trim_end_matches(['"', '\'', ' ']);
    let Some(before) = before.strip_suffix([':', '=']) else { return false };
    let before = before.trim_end_matches(['"', '\'', ' ', '=']);
    let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap_or("");
    let name = name.get(name.len().saturating_sub(16)..).unwrap_or("").to_ascii_lowercase();
    ["key", "api", "token", "auth", "secret", "password", "pwd", "pat", "sig"].iter().any(|end| name.ends_with(end))
}

/// Every credential of a text, in order.
pub fn find(text: &str) -> Vec<Credential> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")) {
        let start = from + at + 3;
        from = start;
        let rest = text.get(start..).unwrap_or("");
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '`' | '\\');
        let end = rest.char_indices().take(MAX_LENGTH).find(|(_, c)| ends(*c)).map(|(at, _)| at);
        let end = end.or((rest.len() <= MAX_LENGTH).then_some(rest.len())).unwrap_or(0);
        let authority = rest.get(..end).unwrap_or("");
        let Some(user) = authority.rfind('@').and_then(|at| authority.get(..at)) else { continue };
        found.extend(credential(user, start));
    }
    found
}

fn credential(user: &str, start: usize) -> Option<Credential> {
    let whole = Span::new(start, start + user.len());
    let of = |secret: Span, kind| Some(Credential { span: whole, secret, kind });
    match user.split_once(':') {
        Some((name, password)) if !password.is_empty() => {
            let at = Span::new(start + name.len() + 1, whole.end);
            if let Some(kind) = token(password) {
                return of(at, kind);
            }
            // `TOKEN:x-oauth-basic@` and the like: the user is the secret.
            if let Some(kind) = token(name) {
                return of(Span::new(start, start + name.len()), kind);
            }
            if is_placeholder(password) { None } else { of(at, Secret::Password) }
        }
        Some((name, _)) => of(Span::new(start, start + name.len()), token(name)?),
        None => of(whole, token(user)?),
    }
}

/// The kind of token that a text is, by its shape.
fn token(text: &str) -> Option<Secret> {
    let alphanumeric = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    let base32 = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
    let is_signed = || text.get(76..80) == Some("AZDO") || text.get(52..58) == Some("JQQJ99");
    if text.len() == 52 && text.bytes().all(base32) && text.bytes().any(|b| b.is_ascii_digit())
        || text.len() == 84 && alphanumeric(text) && is_signed()
    {
        return Some(Secret::AzureDevOpsToken);
    }
    if text.starts_with("eyJ") && text.len() > 40 && text.matches('.').count() >= 2 {
        return Some(Secret::WebToken);
    }
    let prefixes = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"];
    (text.len() >= 20 && prefixes.iter().any(|prefix| text.starts_with(prefix))).then_some(Secret::HostToken)
}

/// True for what stands for a password: `${TOKEN}`, `{private}`, `%PAT%`, `****`, `your-token`.
fn is_placeholder(password: &str) -> bool {
    const WORDS: [&str; 20] = [
        "private",
        "password",
        "passwd",
        "pass",
        "pwd",
        "token",
        "accesstoken",
        "pat",
        "secret",
        "apikey",
        "key",
        "yourpat",
        "yourtoken",
        "yourpassword",
        "mypat",
        "mytoken",
        "mypassword",
        "changeme",
        "redacted",
        "example",
    ];
    let letters: String = password.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase();
    // The dollar of `$TOKEN`, or a brace anywhere: something will be put there.
    password.starts_with('$')
        || password.contains(['{', '}', '(', ')', '[', ']'])
        || password.starts_with('%') && password.ends_with('%')
        || password.to_ascii_lowercase().contains("%7b")
        || letters.is_empty()
        || letters.chars().all(|c| c == 'x')
        || WORDS.contains(&letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_what_only_stands_for_one() {
        let pat = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";
        let azdo = format!("{}AZDO1234", "x".repeat(76));
        let found = |text: &str| {
            let credentials = find(text);
            credentials.iter().map(|c| format!("{:?} {}", c.kind, c.secret.slice(text))).collect::<Vec<_>>()
        };
        assert_eq!(found(&format!("-i https://{pat}@h/")), [format!("AzureDevOpsToken {pat}")]);
        assert_eq!(found(&format!("# -i https://x:{azdo}@h/")), [format!("AzureDevOpsToken {azdo}")]);
        assert_eq!(found("a @ git+https://u:hunter2@h/r"), ["Password hunter2"]);
        assert_eq!(found(&format!("-i https://{pat}:@h/")), [format!("AzureDevOpsToken {pat}")]);
        for placeholder in
            ["{private}", "u:{private}", "feed", "u:${PAT}", "u:$PAT", "u:%PAT%", "u:****", "u:password", "u:", "git"]
        {
            assert!(found(&format!("-i https://{placeholder}@h/")).is_empty(), "{placeholder}");
        }
        assert!(found("-i https://h/a@b:c@d").is_empty());
        assert_eq!(mask("é https://u:hunter2@h/ and https://u:é@h"), "é https://u:*******@h/ and https://u:**@h");
    }

    #[test]
    fn keys_anywhere() {
        let hex = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        let mixed = "Ab1".repeat(14);
        let azure = format!("{}JQQJ99{}", "a1B2".repeat(13), "C3d4".repeat(7).get(..26).unwrap_or(""));
        let pat = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";
        let web = format!("eyJ{mixed}.eyJ{mixed}.{mixed}");
        let shapes = ["ghp_", "github_pat_", "glpat-", "sk-proj-", "pypi-AgEIcHlwaS5vcmc", "hf_", "npm_", "xoxb-"];
        let shapes = shapes.iter().map(|prefix| format!("{prefix}{mixed}"));
        for token in shapes.chain([pat.to_owned(), web, azure, "AKIA0123456789ABCDEF".to_owned()]) {
            for (before, after) in
                [("", ""), ("pip refuses `", "`: no"), ("https://h/", "/simple"), ("token --", ".\n")]
            {
                let hidden = format!("{before}{}{after}", "*".repeat(token.len()));
                assert_eq!(mask(&format!("{before}{token}{after}")), hidden);
            }
        }
        let stars = "*".repeat(32);
        assert_eq!(mask(&format!("AZURE_OPENAI_API_KEY={hex}")), format!("AZURE_OPENAI_API_KEY={stars}"));
        assert_eq!(mask(&format!("search-api: {hex}")), format!("search-api: {stars}"));
        assert_eq!(mask(&format!("\"api_key\": \"{hex}\"")), format!("\"api_key\": \"{stars}\""));
        let storage = format!("AccountKey={}ab==;x", "aB1+".repeat(21));
        assert_eq!(mask(&storage), format!("AccountKey={};x", "*".repeat(88)));
    }

    #[test]
    fn what_is_no_key() {
        let sha1 = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            format!("foo==1 --hash=sha256:{sha1}0123456789abcdef01234567"),
            format!("git+https://github.com/contoso/Foo.git@{sha1}#egg=foo"),
            "https://files.pythonhosted.org/packages/3b/00/2344469e2084fb287c2e0b57b72910309874c3245463acd6cf5e3db69324/appdirs-1.4.4-py2.py3-none-any.whl".to_owned(),
            "sk-learn-contrib-categorical-encoding-2==1.0".to_owned(),
            "azure-cognitiveservices-vision-computervision==0.9.0".to_owned(),
            "azure-keyvault-secrets==4.7.0b4; python_version >= '3.10'".to_owned(),
            "python-token==2024.10.15.dev20241015123456".to_owned(),
            "opentelemetry-instrumentation-azure-ai-inference".to_owned(),
            "unique_key: customer_segment_identifier_v2".to_owned(),
        ] {
            assert_eq!(mask(&text), text);
        }
    }
}
