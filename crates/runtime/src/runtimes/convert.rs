//! From the custom environment of a compute instance (a Dockerfile, a conda file, or Azure's own description of an
//! environment) to what a flow says itself: `environment:` in flow.dag.yaml, and requirements.txt.
//!
//! Nothing is written here, and nothing is left out without a note.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flowgate_flow::load::open_file;
use flowgate_flow::yaml::{self, Node};
use flowgate_flow::{base_image, requirements};

use crate::environment::base;
use crate::environment::image::dockerfile;
use crate::error::{RuntimeError, Stage};

/// What a folder is searched for, in this order.
const NAMES: [&str; 7] = [
    "environment.yaml",
    "environment.yml",
    "Dockerfile",
    "conda.yaml",
    "conda.yml",
    "conda_dependencies.yaml",
    "conda_dependencies.yml",
];
/// Files of more bytes are none of these.
const MAX_BYTES: u64 = 1 << 20;
/// What an installer needs itself.
const OF_INSTALLERS: [&str; 4] = ["pip", "setuptools", "uv", "wheel"];
/// Options of `pip install` without a value that say nothing about what is installed.
const FLAGS: [&str; 11] = [
    "--no-cache-dir",
    "--no-cache",
    "--upgrade",
    "-U",
    "--quiet",
    "-q",
    "--user",
    "--system",
    "--break-system-packages",
    "--disable-pip-version-check",
    "--no-input",
];

/// What a custom environment becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversion {
    /// The image for `environment.image`; `None` is flowgate's own base.
    pub image: Option<String>,
    /// Lines for requirements.txt.
    pub requirements: Vec<String>,
    /// What was left out or changed, and why: full sentences.
    pub notes: Vec<String>,
}

/// Reads a custom environment: a folder that holds one, or a file.
///
/// # Errors
/// [`Stage::Usage`] where there is none, or it cannot be read.
pub fn read(path: &Path) -> Result<Conversion, RuntimeError> {
    let file = match path.is_dir() {
        true => NAMES
            .iter()
            .map(|name| path.join(name))
            .find(|file| file.is_file())
            .ok_or_else(|| fault(path, "the folder holds no environment.yaml, Dockerfile or conda file"))?,
        false => path.to_owned(),
    };
    let mut conversion = Conversion::default();
    conversion.file(&file)?;
    conversion.requirements = conversion.cleaned();
    Ok(conversion)
}

/// The text of a flow.dag.yaml that has no `environment` yet, with one. The rest stays as it is.
///
/// # Errors
/// Why it is not added: a fragment.
pub fn with_environment(text: &str, conversion: &Conversion) -> Result<String, String> {
    let root = yaml::read(text).root;
    if root.mapping().is_none() || text.trim_start().starts_with('{') {
        return Err("it is no block of keys that one can be added to".to_owned());
    }
    if root.get("environment").is_some() {
        return Err("it has `environment` already".to_owned());
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = text.trim_end_matches(['\r', '\n', ' ']).to_owned();
    if out.ends_with("\n...") || out == "..." {
        return Err("its document ends with `...`".to_owned());
    }
    out = format!("{out}{newline}environment:{newline}");
    if let Some(image) = &conversion.image {
        out = format!("{out}  image: {image}{newline}");
    }
    Ok(format!("{out}  python_requirements_txt: requirements.txt{newline}"))
}

/// A requirements.txt with the lines that it lacks, and full sentences about those that it has otherwise.
pub fn with_requirements(text: &str, conversion: &Conversion) -> (String, Vec<String>) {
    let names = |text: &str| -> Vec<(String, String)> {
        let read = requirements::read(text);
        read.requirements().filter_map(|one| Some((one.normalized_name()?, one.text.clone()))).collect()
    };
    let (there, newline) = (names(text), if text.contains("\r\n") { "\r\n" } else { "\n" });
    let mut notes = Vec::new();
    let mut out = text.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out += newline;
    }
    for line in &conversion.requirements {
        let same = names(line).first().and_then(|(name, _)| there.iter().find(|(other, _)| other == name));
        match same {
            Some((_, other)) if other == line => {}
            Some((_, other)) => {
                notes.push(format!("`{line}` is left out: requirements.txt says `{other}` already."));
            }
            None if text.lines().any(|other| other.trim() == line) => {}
            None => out = out + line + newline,
        }
    }
    (out, notes)
}

impl Conversion {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn file(&mut self, file: &Path) -> Result<(), RuntimeError> {
        let text = text_of(file)?;
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if !is_yaml {
            return self.dockerfile(file, &text);
        }
        let document = yaml::read(&text);
        let root = document.root;
        if let Some(error) = document.errors.first() {
            return Err(fault(file, &format!("it is not YAML: {}", error.message)));
        }
        match (root.get("dependencies"), ["image", "build", "conda_file"].iter().any(|key| root.get(key).is_some())) {
            (Some(dependencies), _) => self.conda(file, &dependencies.value),
            (None, true) => self.azure(file, &root),
            (None, false) => Err(fault(file, "it is neither a conda file nor a description of an environment")),
        }
    }

    /// `image`, `build: {path, dockerfile_path}` and `conda_file`, as `az ml environment create` takes them.
    fn azure(&mut self, file: &Path, root: &Node) -> Result<(), RuntimeError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        for entry in root.mapping().unwrap_or_default() {
            match (entry.key.text().unwrap_or_default(), &entry.value) {
                ("image", value) => self.base(value.text().unwrap_or_default()),
                ("build", value) => {
                    let at = |key: &str| value.get(key).and_then(|entry| entry.value.text().map(str::to_owned));
                    let context = folder.join(at("path").unwrap_or_else(|| ".".to_owned()));
                    let dockerfile = context.join(at("dockerfile_path").unwrap_or_else(|| "Dockerfile".to_owned()));
                    let text = text_of(&dockerfile)?;
                    self.dockerfile(&dockerfile, &text)?;
                }
                ("conda_file", value) => match (value.text(), value.get("dependencies")) {
                    (Some(path), _) => self.file(&folder.join(path))?,
                    (None, Some(dependencies)) => self.conda(file, &dependencies.value)?,
                    (None, None) => return Err(fault(file, "its `conda_file` has no `dependencies`")),
                },
                ("$schema" | "name" | "version" | "description" | "tags", _) => {}
                (other, _) => self.note(format!("`{other}` is left out: it is not about what flows run in.")),
            }
        }
        Ok(())
    }

    fn conda(&mut self, file: &Path, dependencies: &Node) -> Result<(), RuntimeError> {
        let Some(items) = dependencies.sequence() else { return Err(fault(file, "its `dependencies` are no list")) };
        for item in items {
            if let Some(pip) = item.get("pip") {
                for line in pip.value.sequence().unwrap_or_default().iter().filter_map(Node::text) {
                    self.pip_words(file, &words(line))?;
                }
                continue;
            }
            let Some(package) = item.text() else { continue };
            let name = package.split(['=', '<', '>', '!', ' ', '[']).next().unwrap_or(package);
            let name = name.rsplit("::").next().unwrap_or(name);
            match name {
                "python" => self.note(format!("`{package}` is left out: the base image has a Python of its own.")),
                name if OF_INSTALLERS.contains(&name) => {}
                name => {
                    let version = package[package.find(name).unwrap_or(0) + name.len()..].trim();
                    // conda's `name=1.2` is every 1.2, and `name=1.2=build` one build of it.
                    let version = match version.strip_prefix('=') {
                        Some(exact) if !exact.starts_with('=') => {
                            format!("=={}.*", exact.split('=').next().unwrap_or(exact).trim_end_matches(".*"))
                        }
                        _ => version.to_owned(),
                    };
                    let line = format!("{name}{version}");
                    self.note(format!("`{package}` is conda's: `{line}` is asked of the package index in its place."));
                    self.requirements.push(line);
                }
            }
        }
        Ok(())
    }

    fn base(&mut self, image: &str) {
        if base_image::is_microsofts(image) {
            self.note(format!(
                "`{image}` is Microsoft's, which gets no more updates: flowgate's own base image is used in its place."
            ));
        } else {
            self.image = Some(image.to_owned());
        }
    }

    fn dockerfile(&mut self, file: &Path, text: &str) -> Result<(), RuntimeError> {
        let instructions = dockerfile::instructions(text).map_err(|refused| fault(file, &refused.0))?;
        let mut stages = 0;
        for (line, keyword, rest) in instructions {
            match keyword.as_str() {
                "FROM" => {
                    stages += 1;
                    let image = rest.split_whitespace().next().unwrap_or_default();
                    if stages > 1 || image.contains('$') {
                        let why = format!("line {line}: several stages, or a variable in `FROM`, cannot be said in a flow");
                        return Err(fault(file, &why).with_hint(
                            "keep the folder as an image: name it under `environment.images` in flowgate.yaml, which builds it",
                        ));
                    }
                    self.base(image);
                }
                "RUN" => self.run(file, line, &rest)?,
                "ENV" | "ARG" => self.note(format!(
                    "Line {line}: `{keyword} {rest}` is left out: `environment_variables` in flow.dag.yaml sets variables."
                )),
                "ADD" | "COPY" if !rest.contains("requirements") && !rest.starts_with("./*") && !rest.starts_with(". ") => {
                    self.left_out(line, &format!("{keyword} {rest}"));
                }
                // What a runtime has of its own.
                _ => {}
            }
        }
        Ok(())
    }

    fn left_out(&mut self, line: usize, what: &str) {
        self.note(format!(
            "Line {line}: `{what}` is left out: to keep it, name the folder under `environment.images` in flowgate.yaml."
        ));
    }

    fn run(&mut self, file: &Path, line: usize, rest: &str) -> Result<(), RuntimeError> {
        for command in rest.split("&&").flat_map(|part| part.split(';')).map(str::trim).filter(|part| !part.is_empty())
        {
            let all = words(command);
            let plain: Vec<&str> = all.iter().map(String::as_str).collect();
            let installs = match plain.as_slice() {
                ["pip" | "pip3", "install", rest @ ..] | ["uv", "pip", "install", rest @ ..] => Some(rest),
                [python, "-m", "pip", "install", rest @ ..] if python.contains("python") => Some(rest),
                _ => None,
            };
            match installs {
                Some(rest) => {
                    let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
                    self.pip_words(file, &rest)?;
                }
                None => self.left_out(line, &format!("RUN {command}")),
            }
        }
        Ok(())
    }

    /// The words of a `pip install`, or of one of conda's lines for pip.
    fn pip_words(&mut self, file: &Path, words: &[String]) -> Result<(), RuntimeError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (option, mut value) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let mut value = || value.take().or_else(|| words.next().cloned()).unwrap_or_default();
            match option {
                "-r" | "--requirement" => {
                    let named = value();
                    // A container's path ends as the context's does.
                    let paths = [folder.join(&named), folder.join(Path::new(&named).file_name().unwrap_or_default())];
                    let path = paths.iter().find(|path| path.is_file()).unwrap_or(&paths[0]);
                    let text = text_of(path)?;
                    self.requirements.extend(requirements::read(&text).lines.into_iter().map(|line| line.text));
                }
                "-i" | "--index-url" | "--extra-index-url" => {
                    let option = if option == "-i" { "--index-url" } else { option };
                    self.requirements.push(format!("{option} {}", value()));
                }
                flag if FLAGS.contains(&flag) => {}
                option if option.starts_with('-') => {
                    self.note(format!("`{word}` of `pip install` is left out: requirements.txt does not take it."));
                }
                _ => self.requirements.push(word.clone()),
            }
        }
        Ok(())
    }

    /// The requirements, once each, without pins of what the base image has and without installers.
    fn cleaned(&mut self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for line in std::mem::take(&mut self.requirements) {
            let read = requirements::read(&line);
            let requirement = read.requirements().next();
            let name = requirement.and_then(requirements::Requirement::normalized_name).unwrap_or_default();
            if OF_INSTALLERS.contains(&name.as_str()) {
                continue;
            }
            let mut written = line.clone();
            if let Some(specifier) = requirement.and_then(|one| one.specifier.as_ref())
                && base::PACKAGES.contains(&name.as_str())
            {
                written = line[..specifier.span.start].trim_end().to_owned();
                self.note(format!("`{line}` is written as `{written}`: the base image has it."));
            }
            if !out.contains(&written) {
                out.push(written);
            }
        }
        out
    }
}

/// Words as a shell splits them, but for what it replaces.
fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            None => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// The text of a regular file: whatever else is there is never opened.
///
/// # Errors
/// [`Stage::Usage`] where there is none, or it is longer than 1 MiB.
pub fn text_of(file: &Path) -> Result<String, RuntimeError> {
    let unreadable = |error: io::Error| fault(file, &error.to_string());
    let mut text = String::new();
    let opened = open_file(file).map_err(unreadable)?;
    opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(fault(file, "it is longer than 1 MiB"));
    }
    Ok(text)
}

fn fault(file: &Path, why: &str) -> RuntimeError {
    let file: PathBuf = file.components().collect();
    RuntimeError::new(Stage::Usage, format!("{} cannot be converted: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_folder_that_microsofts_page_describes() {
        let folder = folder(&[
            ("environment.yaml", "$schema: x\nname: pf\nbuild:\n  path: .\ninference_config: {}\n"),
            ("requirements.txt", "promptflow==1.10.0  # pinned\nnumpy==1.26.4\n"),
            (
                "Dockerfile",
                "FROM mcr.microsoft.com/azureml/promptflow/promptflow-runtime-stable:20240101.v1\nCOPY ./* ./\nRUN pip install --upgrade pip && \\\n    pip install -r requirements.txt 'scikit-learn>=1.3'\n",
            ),
        ]);
        let converted = read(folder.path()).unwrap();
        assert_eq!(converted.image, None);
        assert_eq!(converted.requirements, ["promptflow", "numpy==1.26.4", "scikit-learn>=1.3"]);
        assert_eq!(
            converted.notes,
            [
                "`mcr.microsoft.com/azureml/promptflow/promptflow-runtime-stable:20240101.v1` is Microsoft's, which gets no more updates: flowgate's own base image is used in its place.",
                "`inference_config` is left out: it is not about what flows run in.",
                "`promptflow==1.10.0` is written as `promptflow`: the base image has it.",
            ]
        );
    }

    #[test]
    fn conda_files_and_images() {
        let conda = "dependencies:\n- python=3.9\n- pip\n- numpy=1.26\n- conda-forge::faiss-cpu>=1.7\n- pip:\n  - promptflow[azure]>=1.1\n  - --extra-index-url https://feed/simple\n  - pandas\n";
        let folder =
            folder(&[("conda.yml", conda), ("e.yaml", "image: contoso.azurecr.io/pf:1\nconda_file: conda.yml\n")]);
        let converted = read(&folder.path().join("e.yaml")).unwrap();
        assert_eq!(converted.image.as_deref(), Some("contoso.azurecr.io/pf:1"));
        assert_eq!(
            converted.requirements,
            ["numpy==1.26.*", "faiss-cpu>=1.7", "promptflow[azure]", "--extra-index-url https://feed/simple", "pandas"]
        );
        assert_eq!(converted.notes.len(), 4, "{:?}", converted.notes);
    }

    #[test]
    fn what_cannot_be_said_in_a_flow_is_named() {
        let text = "FROM python:3.11\nENV A=1\nRUN apt-get update && apt-get install -y git\nCOPY model.bin /model.bin\nRUN pip install --target /x a\n";
        let folder = folder(&[("Dockerfile", text)]);
        let notes = read(folder.path()).unwrap().notes;
        for part in [
            "Line 2: `ENV A=1`",
            "Line 3: `RUN apt-get update`",
            "Line 3: `RUN apt-get install -y git`",
            "Line 4: `COPY",
            "`--target` of",
        ] {
            assert!(notes.iter().any(|note| note.starts_with(part)), "{part}: {notes:?}");
        }
        for (name, text, why) in [
            ("Dockerfile", "FROM a AS b\nFROM c\n", "line 2: several stages"),
            ("Dockerfile", "FROM $BASE\n", "line 1: several stages, or a variable"),
            ("x.yaml", "a: 1\n", "neither a conda file"),
            ("x.yaml", "a: [", "it is not YAML"),
            ("x.yaml", "conda_file: gone.yml\n", "gone.yml cannot be converted"),
        ] {
            let folder = self::folder(&[(name, text)]);
            let error = read(&folder.path().join(name)).unwrap_err();
            assert!(error.message.contains(why), "{text}: {}", error.message);
        }
        let empty = self::folder(&[]);
        assert!(read(empty.path()).unwrap_err().message.contains("holds no environment.yaml"));
    }

    #[test]
    fn files_keep_what_they_have() {
        let conversion = Conversion {
            image: Some("a:1".to_owned()),
            requirements: vec!["numpy==2".to_owned(), "pandas".to_owned()],
            notes: Vec::new(),
        };
        let flow = "# mine\r\ninputs: {}\r\nnodes: []";
        assert_eq!(
            with_environment(flow, &conversion).unwrap(),
            "# mine\r\ninputs: {}\r\nnodes: []\r\nenvironment:\r\n  image: a:1\r\n  python_requirements_txt: requirements.txt\r\n"
        );
        for (text, why) in [
            ("environment: {}\n", "already"),
            ("{a: 1}\n", "no block"),
            ("- a\n", "no block"),
            ("a: 1\n...\n", "`...`"),
        ] {
            assert!(with_environment(text, &conversion).unwrap_err().contains(why), "{text}");
        }
        let (text, notes) = with_requirements("NumPy==1.0", &conversion);
        assert_eq!(text, "NumPy==1.0\npandas\n");
        assert_eq!(notes, ["`numpy==2` is left out: requirements.txt says `NumPy==1.0` already."]);
        assert_eq!(with_requirements("pandas\n", &conversion), ("pandas\nnumpy==2\n".to_owned(), vec![]));
        assert_eq!(with_requirements("", &conversion).0, "numpy==2\npandas\n");
    }
}
