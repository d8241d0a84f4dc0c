//! The command that installs: pip, or uv with pip's meaning.

use std::collections::BTreeMap;

use super::frames::{Hello, Run};

/// What is installed, with the gate's URLs in the place of the indexes'.
pub(super) struct Order {
    pub(super) requirements: Vec<String>,
    pub(super) constraints: Vec<String>,
    pub(super) indexes: Vec<String>,
    pub(super) options: Vec<(String, Option<String>)>,
    /// Paths of files that are fetched before.
    pub(super) archives: Vec<String>,
}

/// Which installer it is: `uv`, or `pip` with its version; `None` where there is neither.
pub(super) fn installer(hello: &Hello) -> Option<String> {
    match (&hello.uv, &hello.pip) {
        (Some(_), _) => Some("uv".to_owned()),
        (None, Some(version)) => Some(format!("pip {version}")),
        (None, None) => None,
    }
}

/// The command for an order. Where its environment says nothing, no configuration of the place counts.
pub(super) fn run(hello: &Hello, order: &Order) -> Run {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut lines = index_lines(&order.indexes);
    let mut argv = match &hello.uv {
        Some(uv) => {
            let mut argv = vec![uv.clone()];
            // Of several indexes the best version counts, which is pip's meaning.
            argv.extend(words(&["pip", "install", "--index-strategy", "unsafe-best-match"]));
            argv.extend(words(&["--python", &hello.executable, "--break-system-packages"]));
            argv
        }
        None => words(&[&hello.executable, "-I", "-m", "pip", "install", "--no-compile", "--progress-bar", "off"]),
    };
    for (name, value) in &order.options {
        let value = value.as_deref().unwrap_or("");
        match (hello.uv.is_some(), name.as_str()) {
            (true, "--pre") => argv.push("--prerelease=allow".to_owned()),
            (true, "--require-hashes") => argv.push("--require-hashes".to_owned()),
            (true, "--prefer-binary" | "--use-feature") => {}
            (_, name) => lines.push(format!("{name} {value}").trim_end().to_owned()),
        }
    }
    lines.extend(order.requirements.iter().cloned());
    argv.extend(words(&["-r", "{work}/requirements.txt"]));
    let mut files = BTreeMap::from([("requirements.txt", lines.join("\n") + "\n")]);
    if !order.constraints.is_empty() {
        argv.extend(words(&["-c", "{work}/constraints.txt"]));
        files.insert("constraints.txt", order.constraints.join("\n") + "\n");
    }
    Run { argv, env: environment(hello), files, archives: order.archives.clone() }
}

fn index_lines(indexes: &[String]) -> Vec<String> {
    let Some((first, others)) = indexes.split_first() else { return vec!["--no-index".to_owned()] };
    let mut lines = vec![format!("--index-url {first}")];
    lines.extend(others.iter().map(|index| format!("--extra-index-url {index}")));
    lines
}

/// A proxy is named so that a package that wants a network of its own gets the gate's refusal,
/// with its reason, instead of a silence.
fn environment(hello: &Hello) -> BTreeMap<&'static str, String> {
    let gate = format!("http://127.0.0.1:{}", hello.port);
    let mut variables: BTreeMap<&str, String> = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .into_iter()
        .map(|name| (name, gate.clone()))
        .collect();
    for (name, value) in [
        ("no_proxy", "127.0.0.1"),
        ("NO_PROXY", "127.0.0.1"),
        ("HOME", "{work}"),
        ("TMPDIR", "{work}"),
        ("LANG", "C.UTF-8"),
        ("PYTHONUTF8", "1"),
        // pip: no file of the place is read, and nobody is asked.
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_NO_CACHE_DIR", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_ROOT_USER_ACTION", "ignore"),
        ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
        // The gate has limits of its own, and says why it waits no longer.
        ("PIP_DEFAULT_TIMEOUT", "600"),
        ("UV_HTTP_TIMEOUT", "600"),
        // What was unpacked in the folder of the run becomes what is installed; where that is no folder of the same
        // disk, uv copies.
        ("UV_LINK_MODE", "hardlink"),
        ("UV_NO_CONFIG", "1"),
        ("UV_NO_PROGRESS", "1"),
        ("UV_NO_CACHE", "1"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("UV_KEYRING_PROVIDER", "disabled"),
    ] {
        variables.insert(name, value.to_owned());
    }
    variables
}

/// What an installer warns of when it left out a part of the requirements, and yet exits with 0.
const LOSSES: [&str; 4] = [
    "does not provide the extra",
    "does not have an extra named",
    "dependency resolver does not currently take into account all the packages",
    "which is incompatible",
];

/// The first line of a log that tells of something lost.
pub(super) fn loss(log: &str) -> Option<&str> {
    log.lines().find(|line| LOSSES.iter().any(|loss| line.contains(loss))).map(str::trim)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn hello(uv: bool) -> Hello {
        Hello {
            protocol: 1,
            port: 8000,
            python: "3.11.2".to_owned(),
            executable: "/usr/bin/python3".to_owned(),
            uv: uv.then(|| "/usr/bin/uv".to_owned()),
            pip: Some("23.0".to_owned()),
            packages: BTreeMap::new(),
            mount: None,
            wheels: None,
        }
    }

    #[test]
    fn both_installers_get_the_same_meaning() {
        let option = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let order = Order {
            requirements: vec!["requests>=2 ; python_version > '3'".to_owned()],
            constraints: vec!["idna<4".to_owned()],
            indexes: vec!["http://127.0.0.1:8000/0/simple/".to_owned(), "http://127.0.0.1:8000/1/simple/".to_owned()],
            options: vec![option("--pre", None), option("--no-binary", Some("idna")), option("--prefer-binary", None)],
            archives: Vec::new(),
        };
        let text = [true, false]
            .map(|uv| {
                let Run { argv, files, .. } = run(&hello(uv), &order);
                format!("{}\n---\n{}---\n{}", argv.join(" "), files["requirements.txt"], files["constraints.txt"])
            })
            .join("\n");
        expect![[r#"
            /usr/bin/uv pip install --index-strategy unsafe-best-match --python /usr/bin/python3 --break-system-packages --prerelease=allow -r {work}/requirements.txt -c {work}/constraints.txt
            ---
            --index-url http://127.0.0.1:8000/0/simple/
            --extra-index-url http://127.0.0.1:8000/1/simple/
            --no-binary idna
            requests>=2 ; python_version > '3'
            ---
            idna<4

            /usr/bin/python3 -I -m pip install --no-compile --progress-bar off -r {work}/requirements.txt -c {work}/constraints.txt
            ---
            --index-url http://127.0.0.1:8000/0/simple/
            --extra-index-url http://127.0.0.1:8000/1/simple/
            --pre
            --no-binary idna
            --prefer-binary
            requests>=2 ; python_version > '3'
            ---
            idna<4
        "#]].assert_eq(&text);
        let none = Order {
            requirements: Vec::new(),
            constraints: Vec::new(),
            indexes: Vec::new(),
            options: Vec::new(),
            archives: Vec::new(),
        };
        assert_eq!(run(&hello(true), &none).files["requirements.txt"], "--no-index\n");
    }
}
