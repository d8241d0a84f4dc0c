//! What a Dockerfile asks for beside its context, and what an untrusted one may not ask for.

mod lines;
mod untrusted;

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::TrustScope;

/// A Dockerfile as a builder gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// Its text.
    pub(crate) text: String,
    /// The images that it builds upon or copies from, each once, variables replaced.
    pub(crate) images: BTreeSet<String>,
    /// The line behind each `FROM` of the text.
    heads: Vec<usize>,
    /// Whether flowgate put a line of its own there.
    is_marked: bool,
}

impl Dockerfile {
    /// The lines of the Dockerfile as it was written behind which the text holds one of flowgate's.
    pub(crate) fn marks(&self) -> Vec<usize> {
        // Each head of a marked text is moved by the marks before it.
        let heads = self.heads.iter().enumerate().map(|(before, head)| head - before);
        if self.is_marked { heads.collect() } else { Vec::new() }
    }

    /// The text with a line behind each `FROM`, and the lines of the Dockerfile as it was written behind which the text
    /// then holds one of flowgate's.
    pub(crate) fn with_line(&self, line: &str) -> (String, Vec<usize>) {
        let (mut out, mut heads) = (String::new(), self.heads.iter().peekable());
        for (number, written) in self.text.lines().enumerate() {
            if heads.next_if(|head| **head == number).is_some() {
                out = out + line + "\n";
            }
            out = out + written + "\n";
        }
        if heads.next().is_some() {
            out = out + line + "\n";
        }
        let marks = self.marks();
        let written = if self.is_marked { marks.clone() } else { self.heads.clone() };
        (out, [marks, written].concat())
    }
}

/// The instructions of a Dockerfile: the line of each, from 1, its keyword in upper case, and what follows it and its
/// flags.
///
/// # Errors
/// A text that is no Dockerfile.
pub(crate) fn instructions(text: &str) -> Result<Vec<(usize, String, String)>, Refused> {
    let read = lines::read(text.trim_start_matches('\u{feff}'))?;
    Ok(read.into_iter().map(|one| (one.line + 1, one.keyword, one.rest)).collect())
}

/// Why a Dockerfile is not built: a lower-case fragment that begins with the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    /// At a line that is counted from zero.
    fn at(line: usize, why: &str) -> Self {
        Self(format!("line {}: {why}", line + 1))
    }
}

/// For whom a Dockerfile is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'r> {
    /// Where it comes from. Outside the trusted scope, the rules for untrusted code apply.
    pub(crate) scope: &'r TrustScope,
    /// Whether the build may use the network.
    pub(crate) network: bool,
    /// The platform that is built for.
    pub(crate) platform: &'r str,
}

/// Reads a Dockerfile. Outside the trusted scope, the rules for untrusted code apply to it, its images are written
/// out, and it gets a build argument that keeps the builder's cache of one scope from another.
///
/// # Errors
/// A text that is no Dockerfile, a `FROM` whose variable nobody sets, and what may not be asked for.
pub(crate) fn read(text: &str, arguments: &BTreeMap<String, String>, rules: Rules<'_>) -> Result<Dockerfile, Refused> {
    let text = text.trim_start_matches('\u{feff}');
    let instructions = lines::read(text)?;
    let is_untrusted = *rules.scope != TrustScope::Trusted;
    if is_untrusted {
        let starts = instructions.iter().map(|instruction| instruction.line).collect();
        untrusted::check(text, arguments, &starts, rules)?;
    }
    let mut variables = predefined(rules.platform);
    let mut stages: BTreeSet<String> = BTreeSet::new();
    let mut images = BTreeSet::new();
    let mut heads = Vec::new();
    for instruction in &instructions {
        let line = instruction.line;
        let mut takes = |name: &str| -> Result<(), Refused> {
            if name.contains('$') {
                return Err(Refused::at(
                    line,
                    &format!(
                        "`from={name}` holds a variable, which builders do not replace there; name a stage with `FROM ... AS NAME`"
                    ),
                ));
            }
            if !is_stage(name, &stages) {
                images.insert(name.to_owned());
            }
            Ok(())
        };
        match instruction.keyword.as_str() {
            "ARG" if heads.is_empty() => declare(&instruction.rest, arguments, &mut variables),
            "FROM" => {
                let (written, name) = instruction.from().unwrap_or_default();
                let image = replaced(written, &variables)
                    .ok_or_else(|| Refused::at(line, &format!("nothing sets the variable of `FROM {written}`")))?;
                for platform in instruction.values("platform") {
                    check_platform(platform, &variables, rules.platform).map_err(|why| Refused::at(line, &why))?;
                }
                if is_untrusted {
                    untrusted::check_name(&image).map_err(|why| Refused::at(line, &why))?;
                }
                if image != "scratch" && !stages.contains(&image.to_ascii_lowercase()) {
                    images.insert(image.clone());
                }
                stages.extend(name.map(str::to_ascii_lowercase));
                heads.push((instruction, image));
            }
            "COPY" => instruction.values("from").try_for_each(takes)?,
            "RUN" => {
                for mount in instruction.values("mount") {
                    let options = options(mount);
                    let kind = options.iter().rev().find(|(name, _)| name == "type").map(|(_, value)| value.as_str());
                    if let Some(kind @ ("secret" | "ssh")) = kind {
                        return Err(Refused::at(
                            line,
                            &format!("`--mount=type={kind}` asks for a secret, and flowgate gives builds none"),
                        ));
                    }
                    options.iter().filter(|(name, _)| name == "from").try_for_each(|(_, value)| takes(value))?;
                }
            }
            "ADD" if !rules.network => {
                untrusted::local_only(&instruction.rest).map_err(|why| Refused::at(line, &why))?;
            }
            _ => {}
        }
    }
    let made = match is_untrusted {
        false => {
            let heads = heads.iter().map(|(from, _)| from.end).collect();
            Dockerfile { text: text.to_owned(), images, heads, is_marked: false }
        }
        true => {
            let (text, heads) = marked(text, &heads, rules.scope);
            Dockerfile { text, images, heads, is_marked: true }
        }
    };
    Ok(made)
}

/// The variables that BuildKit sets by itself.
fn predefined(platform: &str) -> BTreeMap<String, String> {
    let (system, machine) = platform.split_once('/').unwrap_or((platform, ""));
    let of = |side: &str| {
        [("PLATFORM", platform), ("OS", system), ("ARCH", machine)]
            .map(|(name, value)| (format!("{side}{name}"), value.to_owned()))
    };
    of("TARGET").into_iter().chain(of("BUILD")).collect()
}

/// Sets what an `ARG` before the first `FROM` declares.
fn declare(rest: &str, arguments: &BTreeMap<String, String>, variables: &mut BTreeMap<String, String>) {
    for word in lines::words(rest) {
        let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let default = || replaced(&default?.replace(['"', '\''], ""), variables);
        if let Some(value) = arguments.get(name).cloned().or_else(default) {
            variables.insert(name.to_owned(), value);
        }
    }
}

/// An image for other machines would be taken from its registry, and not be the one that was looked at.
fn check_platform(written: &str, variables: &BTreeMap<String, String>, wanted: &str) -> Result<(), String> {
    match replaced(written, variables) {
        Some(platform) if platform == wanted => Ok(()),
        _ => Err(format!("`--platform={written}` is not {wanted}, which flowgate builds for")),
    }
}

/// The words of a `--mount`, each with its name in lower case.
fn options(mount: &str) -> Vec<(String, String)> {
    let words = mount.split(',').map(|word| word.trim_matches('"'));
    words
        .map(|word| {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            (name.trim().to_ascii_lowercase(), value.to_owned())
        })
        .collect()
}

/// True for a stage, by its name or its number, and for nothing at all.
fn is_stage(name: &str, stages: &BTreeSet<String>) -> bool {
    name == "scratch" || stages.contains(&name.to_ascii_lowercase()) || name.parse::<u32>().is_ok()
}

/// `$NAME`, `${NAME}`, `${NAME:-default}` replaced; `None` where nothing sets one.
fn replaced(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find('$') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let (name, default, after) = match rest.strip_prefix('{') {
            Some(braced) => {
                let (inner, after) = braced.split_once('}')?;
                let (name, default) = inner.split_once(":-").map_or((inner, None), |(n, d)| (n, Some(d)));
                (name, default, after)
            }
            None => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (&rest[..end], None, &rest[end..])
            }
        };
        let value = variables.get(name).filter(|value| !value.is_empty()).map(String::as_str).or(default);
        out.push_str(value?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// The text with every `FROM` written out, and behind it an argument whose name only this scope has. It becomes part of
/// what a builder's cache goes by: of the chain of steps in the classic builder, of the variables of a step in
/// BuildKit, where nothing that the Dockerfile says can take it away again.
fn marked(text: &str, heads: &[(&lines::Instruction, String)], scope: &TrustScope) -> (String, Vec<usize>) {
    let mark = format!("ARG FLOWGATE_SCOPE_{}=1\n", scope.tag().replace('-', "_"));
    let (mut out, mut behind) = (String::new(), Vec::new());
    let mut heads = heads.iter().peekable();
    for (number, line) in text.lines().enumerate() {
        let Some((from, image)) = heads.peek().filter(|(from, _)| from.line <= number) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        if from.line == number {
            let name = from.from().and_then(|(_, name)| name).map_or(String::new(), |name| format!(" AS {name}"));
            out.push_str(&format!("FROM {image}{name}"));
        }
        // A line for each line, so that the numbers in messages stay true.
        out.push('\n');
        if from.end == number + 1 {
            out.push_str(&mark);
            behind.push(number + 1 + behind.len());
            heads.next();
        }
    }
    (out, behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUSTED: Rules<'_> = Rules { scope: &TrustScope::Trusted, network: true, platform: "linux/amd64" };

    fn images(text: &str) -> Vec<String> {
        read(text, &BTreeMap::new(), TRUSTED).unwrap().images.into_iter().collect()
    }

    #[test]
    fn the_images_that_a_build_needs() {
        assert_eq!(
            images("FROM a:1 AS one\nRUN x\nFROM one\nCOPY --from=b:2 /x /y\nCOPY --from=0 /x /y\n"),
            ["a:1", "b:2"]
        );
        assert_eq!(images("ARG TAG=3\nFROM a:${TAG}\nRUN --mount=type=bind,from=c,target=/c ls\n"), ["a:3", "c"]);
        assert_eq!(images("ARG A=x B=\"$A/y\"\nFROM $B\n"), ["x/y"]);
        assert_eq!(images("FROM ${BASE:-d}\n"), ["d"]);
        assert_eq!(images("FROM --platform=$BUILDPLATFORM a-$TARGETARCH\n"), ["a-amd64"]);
        assert_eq!(images("FROM scratch\n"), Vec::<String>::new());
        assert_eq!(images("\u{feff}FROM a\nRUN cat <<EOF >/x && y\nFROM b\nEOF\n"), ["a"]);
        // A number is a stage behind `--from=` only.
        assert_eq!(images("FROM a\nFROM 0\n"), ["0", "a"]);
        let arguments = [("TAG".to_owned(), "9".to_owned())].into();
        let read = read("ARG TAG=3\nFROM a:$TAG\n", &arguments, TRUSTED).unwrap();
        assert!(read.images.contains("a:9"));
    }

    #[test]
    fn what_is_no_dockerfile_says_where() {
        let closed = Rules { network: false, ..TRUSTED };
        for (text, why) in [
            ("FROM $BASE\n", "line 1: nothing sets the variable of `FROM $BASE`"),
            ("FROM a\nRUN --mount=type=secret,id=x cat x\n", "line 2: `--mount=type=secret` asks for a secret"),
            ("FROM a\nRUN --mount=Type=bind,type=ssh x\n", "line 2: `--mount=type=ssh` asks for a secret"),
            ("FROM a\nRUN --mount=from=$X,target=/x ls\n", "line 2: `from=$X` holds a variable"),
            ("FROM --platform=linux/s390x a\n", "line 1: `--platform=linux/s390x` is not linux/amd64"),
            ("FROM a\nADD https://host/x /x\n", "line 2: `ADD https://host/x` may fetch from the network"),
            ("RUN x\n", "line 1: `RUN` stands before the first `FROM`"),
        ] {
            let refused = read(text, &BTreeMap::new(), closed).unwrap_err();
            assert!(refused.0.starts_with(why), "{text}: {}", refused.0);
        }
        assert!(read("FROM a\nADD https://host/x /x\n", &BTreeMap::new(), TRUSTED).is_ok());
    }

    #[test]
    fn the_cache_of_untrusted_code_is_its_own() {
        let scope = TrustScope::PullRequest { repository: "a/b".to_owned(), number: 7 };
        let text = "ARG T=1\nFROM a:$T \\\n AS b\nRUN x\nFROM b";
        let made = read(text, &BTreeMap::new(), Rules { scope: &scope, ..TRUSTED }).unwrap();
        let mark = format!("ARG FLOWGATE_SCOPE_{}=1\n", scope.tag().replace('-', "_"));
        assert_eq!(made.text, format!("ARG T=1\nFROM a:1 AS b\n\n{mark}RUN x\nFROM b\n{mark}"));
        assert_eq!(made.marks(), [3, 5]);
        let (text, marks) = made.with_line("LABEL x=y");
        assert_eq!(text, format!("ARG T=1\nFROM a:1 AS b\n\nLABEL x=y\n{mark}RUN x\nFROM b\nLABEL x=y\n{mark}"));
        assert_eq!(marks, [3, 5, 3, 5]);
        let own = read("FROM a\n", &BTreeMap::new(), TRUSTED).unwrap();
        assert_eq!((own.text.as_str(), own.marks()), ("FROM a\n", vec![]));
        assert_eq!(own.with_line("LABEL x=y"), ("FROM a\nLABEL x=y\n".to_owned(), vec![1]));
    }
}
