//! Users and passwords in URLs, wherever they stand in a text: in an option, in a requirement or in
//! a comment. What is shown to anyone goes through [`mask`] first.

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
    /// A personal access token of Azure DevOps.
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
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let credentials = find(text);
    if credentials.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    for Credential { secret, .. } in credentials {
        masked.push_str(text.get(masked.len()..secret.start).unwrap_or(""));
        masked.extend(std::iter::repeat_n('*', secret.end - secret.start));
    }
    masked.push_str(text.get(masked.len()..).unwrap_or(""));
    Cow::Owned(masked)
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
    if text.len() == 52 && text.bytes().all(base32)
        || text.len() == 84 && alphanumeric(text) && text.get(76..80) == Some("AZDO")
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
}
