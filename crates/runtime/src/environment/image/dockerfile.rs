//! What a Dockerfile asks for beside its context, and what one from a stranger may not ask for.

use std::collections::{BTreeMap, BTreeSet};

use parse_dockerfile::{Flag, Instruction};

use crate::environment::TrustScope;

/// A Dockerfile as a builder gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// Its text.
    pub(crate) text: String,
    /// The images that it builds upon or copies from, each once, variables replaced.
    pub(crate) images: BTreeSet<String>,
}

/// Why a Dockerfile is not built: a lower-case fragment that begins with the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

/// Reads a Dockerfile. In a scope that is not trusted, it is held to the rules for strangers, and gets a build
/// argument that keeps the builder's cache of one scope from another.
///
/// # Errors
/// A text that is no Dockerfile, a `FROM` whose variable nobody sets, and what a stranger may not ask for.
pub(crate) fn read(
    text: &str,
    arguments: &BTreeMap<String, String>,
    scope: &TrustScope,
) -> Result<Dockerfile, Refused> {
    let parsed = parse_dockerfile::parse(text).map_err(|error| Refused(error.to_string()))?;
    let stranger = *scope != TrustScope::Trusted;
    if let Some(syntax) = parsed.parser_directives.syntax.as_ref().filter(|_| stranger) {
        let front_end = syntax.value.value;
        if !is_official(front_end) {
            return Err(at(
                text,
                syntax.value.span.start,
                &format!("`# syntax={front_end}` names a program that would read it"),
            ));
        }
    }
    let mut variables = arguments.clone();
    for argument in parsed.global_args() {
        let (name, value) = argument.arguments.value.split_once('=').unwrap_or((&argument.arguments.value, ""));
        variables.entry(name.trim().to_owned()).or_insert_with(|| value.trim_matches(['"', '\'']).to_owned());
    }
    let mut stages: BTreeSet<String> = BTreeSet::new();
    let mut images = BTreeSet::new();
    let mut heads = Vec::new();
    for instruction in &parsed.instructions {
        let (named, place) = match instruction {
            Instruction::From(from) => {
                let image = replaced(&from.image.value, &variables).ok_or_else(|| {
                    at(text, from.from.span.start, &format!("nothing sets the variable of `FROM {}`", from.image.value))
                })?;
                heads.push(from.as_.as_ref().map_or(from.image.span.end, |(_, name)| name.span.end));
                let known = stages.contains(&image.to_ascii_lowercase());
                if let Some((_, name)) = &from.as_ {
                    stages.insert(name.value.to_ascii_lowercase());
                }
                if known { continue } else { (Some(image), from.from.span.start) }
            }
            Instruction::Copy(copy) => (option(&copy.options, "from"), copy.copy.span.start),
            Instruction::Add(add) => (option(&add.options, "from"), add.add.span.start),
            Instruction::Run(run) => {
                let start = run.run.span.start;
                for mount in run.options.iter().filter(|flag| flag.name.value == "mount") {
                    let words = mount.value.as_ref().map_or("", |value| &value.value);
                    check_mount(words, stranger).map_err(|why| at(text, start, &why))?;
                    let from = words.split(',').find_map(|word| word.strip_prefix("from="));
                    images.extend(from.filter(|from| is_image(from, &stages)).map(str::to_owned));
                }
                if stranger && let Some(why) = check_run(&run.options) {
                    return Err(at(text, start, &why));
                }
                continue;
            }
            Instruction::Onbuild(onbuild) if stranger => {
                return Err(at(text, onbuild.onbuild.span.start, "`ONBUILD` hides what a later build would do"));
            }
            _ => continue,
        };
        let Some(named) = named else { continue };
        let named = replaced(&named, &variables)
            .ok_or_else(|| at(text, place, &format!("nothing sets the variable of `--from={named}`")))?;
        if is_image(&named, &stages) {
            images.insert(named);
        }
    }
    if heads.is_empty() {
        return Err(Refused("it has no `FROM`".to_owned()));
    }
    let text = if stranger { marked(text, &heads, scope) } else { text.to_owned() };
    Ok(Dockerfile { text, images })
}

/// The name of an option's value.
fn option(options: &[Flag<'_>], name: &str) -> Option<String> {
    options.iter().find(|flag| flag.name.value == name)?.value.as_ref().map(|value| value.value.to_string())
}

/// True for what is neither a stage nor its number nor nothing.
fn is_image(name: &str, stages: &BTreeSet<String>) -> bool {
    name != "scratch" && !stages.contains(&name.to_ascii_lowercase()) && name.parse::<usize>().is_err()
}

/// Docker's own reader of Dockerfiles.
fn is_official(front_end: &str) -> bool {
    let name = front_end.trim_start_matches("docker.io/");
    let (repository, tag) = name.split_once(':').unwrap_or((name, "1"));
    repository == "docker/dockerfile" && tag.starts_with('1') && !tag.contains('@')
}

/// A cache of one build is read by others, and a stranger gets no secret.
fn check_mount(words: &str, stranger: bool) -> Result<(), String> {
    let kind = words.split(',').find_map(|word| word.strip_prefix("type=")).unwrap_or("bind");
    match kind {
        "secret" | "ssh" => Err(format!("`--mount=type={kind}` asks for a secret, and flowgate gives builds none")),
        "cache" if stranger => Err("`--mount=type=cache` shares files with builds of others".to_owned()),
        _ => Ok(()),
    }
}

fn check_run(options: &[Flag<'_>]) -> Option<String> {
    options.iter().find_map(|flag| {
        let value = flag.value.as_ref().map_or("", |value| &value.value);
        match (flag.name.value.as_ref(), value) {
            ("security", "insecure") => Some("`--security=insecure` leaves the sandbox".to_owned()),
            ("network", "host") => Some("`--network=host` reaches this machine's own network".to_owned()),
            _ => None,
        }
    })
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

/// The argument is part of what a builder's cache goes by, in the classic builder and in BuildKit.
fn marked(text: &str, heads: &[usize], scope: &TrustScope) -> String {
    let mut out = String::new();
    let mut from = 0;
    for head in heads {
        let end = text[*head..].find('\n').map_or(text.len(), |at| head + at + 1);
        out.push_str(&text[from..end]);
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("ARG FLOWGATE_SCOPE={}\n", scope.tag()));
        from = end;
    }
    out.push_str(&text[from..]);
    out
}

fn at(text: &str, start: usize, why: &str) -> Refused {
    let line = text.get(..start).unwrap_or("").matches('\n').count() + 1;
    Refused(format!("line {line}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull_request() -> TrustScope {
        TrustScope::PullRequest { repository: "a/b".to_owned(), number: 7 }
    }

    fn images(text: &str) -> Vec<String> {
        read(text, &BTreeMap::new(), &TrustScope::Trusted).unwrap().images.into_iter().collect()
    }

    #[test]
    fn the_images_that_a_build_needs() {
        assert_eq!(
            images("FROM a:1 AS one\nRUN x\nFROM one\nCOPY --from=b:2 /x /y\nCOPY --from=0 /x /y\n"),
            ["a:1", "b:2"]
        );
        assert_eq!(images("ARG TAG=3\nFROM a:${TAG}\nRUN --mount=type=bind,from=c,target=/c ls\n"), ["a:3", "c"]);
        assert_eq!(images("FROM ${BASE:-d}\n"), ["d"]);
        assert_eq!(images("FROM scratch\n"), Vec::<String>::new());
        let arguments = [("TAG".to_owned(), "9".to_owned())].into();
        let read = read("ARG TAG=3\nFROM a:$TAG\n", &arguments, &TrustScope::Trusted).unwrap();
        assert!(read.images.contains("a:9"));
    }

    #[test]
    fn what_is_no_dockerfile_says_where() {
        for (text, why) in [
            ("FROM $BASE\n", "line 1: nothing sets the variable of `FROM $BASE`"),
            (
                "FROM a\nRUN --mount=type=secret,id=x cat /run/secrets/x\n",
                "line 2: `--mount=type=secret` asks for a secret",
            ),
        ] {
            let refused = read(text, &BTreeMap::new(), &TrustScope::Trusted).unwrap_err();
            assert!(refused.0.starts_with(why), "{text}: {}", refused.0);
        }
        assert!(read("RUN x\n", &BTreeMap::new(), &TrustScope::Trusted).is_err());
    }

    #[test]
    fn what_a_stranger_may_not_ask_for() {
        for (text, why) in [
            ("# syntax=evil.example/front:1\nFROM a\n", "line 1: `# syntax=evil.example/front:1`"),
            ("FROM a\nRUN --mount=type=cache,target=/c x\n", "line 2: `--mount=type=cache`"),
            ("FROM a\nRUN --network=host x\n", "line 2: `--network=host`"),
            ("FROM a\nRUN --security=insecure x\n", "line 2: `--security=insecure`"),
            ("FROM a\n\nONBUILD RUN x\n", "line 3: `ONBUILD`"),
        ] {
            let refused = read(text, &BTreeMap::new(), &pull_request()).unwrap_err();
            assert!(refused.0.starts_with(why), "{text}: {}", refused.0);
        }
        assert!(read("# syntax=docker/dockerfile:1\nFROM a\n", &BTreeMap::new(), &pull_request()).is_ok());
    }

    #[test]
    fn the_cache_of_a_stranger_is_its_own() {
        let text = read("FROM a AS b\nRUN x\nFROM c", &BTreeMap::new(), &pull_request()).unwrap().text;
        let mark = format!("ARG FLOWGATE_SCOPE={}\n", pull_request().tag());
        assert_eq!(text, format!("FROM a AS b\n{mark}RUN x\nFROM c\n{mark}"));
        assert_eq!(read("FROM a\n", &BTreeMap::new(), &TrustScope::Trusted).unwrap().text, "FROM a\n");
    }
}
