use std::collections::BTreeSet;

use flowgate_flow::config::RuntimeTarget;
use flowgate_flow::project::{FileId, NestedTarget, Presence};
use flowgate_flow::requirements::{Form, OptionKind};
use flowgate_flow::{Span, graph};
use ruff_python_stdlib::sys::is_known_standard_library;

use crate::context::{Context, OPAQUE};
use crate::finding::{Applicability, Finding, Level, Place};
use crate::packages::{self, AZURE_EXTRA, Brought, Installed};
use crate::rule::{Group, Rule};
use flowgate_flow::base_image;

pub(super) const RULE: Rule = Rule {
    name: "undeclared-import",
    group: Group::Environment,
    level: Level::Warning,
    summary: "An import of a package that neither the requirements nor promptflow bring.",
    cases: &[],
    why: "The package is installed on the author's machine, but not in the hosted runtime or an image: loading the node's file fails there with `PythonLoadError: No module named ...`. The rule checks the files of nodes and the modules of the flow's folder that they import, but ignores imports inside a function, a `try` or a condition. It is an error if the flow names no image and always loads the file: such a flow runs on flowgate's own base image, whose packages are known. The rule reports nothing for custom images, or if a requirement could provide any module: a URL, an extra, or a package that flowgate does not know.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\nnodes:\n- name: read\n  type: python\n  source:\n    type: code\n    path: read.py\n  inputs: {}\noutputs:\n  text:\n    type: string\n    reference: ${read.output}\n#- read.py\nfrom promptflow.core import tool\nfrom PyPDF2 import PdfReader\n\n\n@tool\ndef read() -> str:\n    return PdfReader(\"a.pdf\").pages[0].extract_text()\n#- requirements.txt\nrequests\n",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\nnodes:\n- name: read\n  type: python\n  source:\n    type: code\n    path: read.py\n  inputs: {}\noutputs:\n  text:\n    type: string\n    reference: ${read.output}\n#- read.py\nfrom promptflow.core import tool\nfrom PyPDF2 import PdfReader\n\n\n@tool\ndef read() -> str:\n    return PdfReader(\"a.pdf\").pages[0].extract_text()\n#- requirements.txt\nrequests\npypdf2\n",
    fix: Some(
        "Adds the package that usually has the module to the requirements. Unsafe: another package, or a certain version, may be meant.",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let files: Vec<_> = context.project.python_files().collect();
    // Where Python looks elsewhere, modules may be there.
    if files.iter().any(|file| file.module.changes_path) {
        return Vec::new();
    }
    let Some(named) = named(context) else { return Vec::new() };
    let Some(brought) = brought(context, &named) else { return Vec::new() };
    // What is not listed here may be a part of what the requirements bring.
    let only_base = || named.iter().all(|name| packages::is_there(name));
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    let fails = fails(context);
    for file in files {
        let imports = file.module.imports.iter().filter(|import| import.required && import.level == 0);
        for import in imports {
            let module = import.module.value.as_str();
            let root = module.split('.').next().unwrap_or(module);
            if context.project.local_modules.contains(root) || brought.has(module) || is_standard(root) {
                continue;
            }
            let package = packages::package_of(module);
            if (package.is_none() && !only_base()) || !seen.insert((file.file, package.unwrap_or(root))) {
                continue;
            }
            let at = Place { file: file.file, span: import.module.span };
            let level = if fails(file.file) { Level::Error } else { Level::Warning };
            findings.push(finding(context, level, at, module, package));
        }
    }
    findings
}

/// The versions of Python 3 whose standard library is known.
const OLDEST: u8 = 9;
const NEWEST: u8 = 14;

fn is_standard(module: &str) -> bool {
    (OLDEST..=NEWEST).any(|minor| is_known_standard_library(minor, module))
}

/// The modules of the named packages and of those that are there without being asked for.
fn brought(context: &Context<'_>, named: &[String]) -> Option<Brought> {
    let installed = match context.target {
        _ if context.is_on_own_base() => Installed::Own,
        RuntimeTarget::HostedRuntime => Installed::Hosted,
        RuntimeTarget::OwnBaseImage | RuntimeTarget::FlowBuild => Installed::Base,
    };
    packages::brought(installed, named.iter().map(String::as_str))
}

/// True where a package may bring that module of the top level, or Python itself has it.
pub(super) fn may_be_brought(context: &Context<'_>, module: &str) -> bool {
    let brought = named(context).and_then(|named| brought(context, &named));
    is_standard(module) || brought.is_none_or(|brought| brought.has(module))
}

/// Tells of which file it is sure that a run loads it, on a base whose packages are known.
fn fails(context: &Context<'_>) -> impl Fn(FileId) -> bool {
    let flow = context.flow_file().filter(|_| context.is_on_own_base()).map(|file| &file.flow);
    let always = flow.is_some_and(|flow| flow.variants.is_empty());
    // Of other variants, only the default's file is loaded; what their modules import, another may have imported.
    let nodes = flow.filter(|_| !always).map(graph::effective).unwrap_or_default();
    let sources = nodes.into_iter().filter_map(|node| context.project.python.get(&node.python_source()?.value));
    let loaded: BTreeSet<FileId> = sources.map(|source| source.file).collect();
    move |file| always || loaded.contains(&file)
}

fn finding(context: &Context<'_>, level: Level, at: Place, module: &str, package: Option<&str>) -> Finding {
    let Some(package) = package else {
        let message = format!("`{module}` is imported, and neither the requirements nor promptflow bring it");
        let help = "add its package to the requirements, or its folder to `additional_includes`";
        return Finding::new(level, at, message).help(help);
    };
    let message =
        format!("`{module}` is imported, and neither the requirements nor promptflow bring it: it is in `{package}`");
    let file = context.requirements().iter().find(|file| !file.constraint);
    let Some((file, source)) = file.and_then(|file| Some((file.file, context.project.file(file.file)?))) else {
        let help = format!("write `{package}` into a `requirements.txt` beside the flow, and name it in `environment`");
        return Finding::new(level, at, message).help(help);
    };
    let end = Place { file, span: Span::empty(source.text.len()) };
    let line = if source.text.is_empty() || source.text.ends_with('\n') { "" } else { "\n" };
    let fix = format!("{line}{package}\n");
    let finding = Finding::new(level, at, message).help(format!("add the line `{package}`"));
    finding.fix(Applicability::Unsafe, "add the line to the requirements", end, fix)
}

/// The normalized names of the packages that the flow asks for; `None` where more may be installed
/// than they tell.
fn named(context: &Context<'_>) -> Option<Vec<String>> {
    let flow = context.flow_file().filter(|flow| flow.flow.complete)?;
    let environment = flow.document.root.get("environment");
    if environment.is_some_and(|e| OPAQUE.iter().any(|key| e.value.get(key).is_some())) {
        return None;
    }
    let environment = flow.flow.environment.as_ref();
    let image = environment.and_then(|e| e.image.as_ref());
    let is_known = match context.target {
        RuntimeTarget::HostedRuntime => image.is_none_or(|image| base_image::is_microsofts(&image.value)),
        RuntimeTarget::OwnBaseImage => false,
        // It makes an environment of its own, whatever the image holds.
        RuntimeTarget::FlowBuild => true,
    };
    let path = environment.and_then(|e| e.python_requirements_txt.as_ref());
    let is_read = path
        .is_none_or(|path| context.project.paths.get(&path.value).is_some_and(|fact| fact.presence == Presence::File));
    if !is_known || !is_read {
        return None;
    }
    let mut named = Vec::new();
    for file in context.requirements() {
        let readable = context.project.file(file.file).is_some_and(|file| file.unreadable.is_none());
        let followed = file.nested.iter().all(|nested| {
            nested.constraint || matches!(nested.target, NestedTarget::File(_) | NestedTarget::Recursive(_))
        });
        let editable = file.requirements.options().any(|(_, option)| option.kind == OptionKind::Editable);
        if !readable || !followed || editable {
            return None;
        }
        for requirement in file.requirements.requirements().filter(|_| !file.constraint) {
            let name = requirement.normalized_name().filter(|_| requirement.form == Form::Name)?;
            let parsed = requirement.parsed.as_ref().ok()?;
            let extras: Vec<String> = parsed.extras.iter().map(ToString::to_string).collect();
            match extras.as_slice() {
                [] => {}
                [azure] if azure == "azure" && name == "promptflow" => named.push(AZURE_EXTRA.to_owned()),
                _ => return None,
            }
            named.push(name);
        }
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const FLOW: &str = "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: a.py}}
";

    fn raises(rest: &str) {
        fixture::raises(&super::RULE, &format!("{FLOW}{rest}"));
    }

    #[test]
    fn by_what_is_there() {
        raises(
            "#- a.py
import os, tomllib, pkg_resources, openai, helper
import yaml
#      ^^^^ error[undeclared-import]: `yaml` is imported, and neither the requirements nor promptflow bring it: it is in `pyyaml`
from azure.search import documents
#    ^^^^^^^^^^^^ error[undeclared-import]: `azure.search` is imported, and neither the requirements nor promptflow bring it
import sklearn.metrics
#      ^^^^^^^^^^^^^^^ error[undeclared-import]: `sklearn.metrics` is imported, and neither the requirements nor promptflow bring it: it is in `scikit-learn`
import contoso
#      ^^^^^^^ error[undeclared-import]: `contoso` is imported, and neither the requirements nor promptflow bring it
from . import beside
try:
    import torch
except ImportError:
    torch = None
def f():
    import torch
#- helper.py
import a
import docx, docx.shared
#      ^^^^ error[undeclared-import]: `docx` is imported, and neither the requirements nor promptflow bring it: it is in `python-docx`
#- unused.py
import torch
",
        );
        raises("#- a.py\nimport sys, contoso, torch\nsys.path.append('..')\n");
    }

    #[test]
    fn by_variants() {
        let flow = "#- flow.dag.yaml
nodes:
- {name: a, type: python, source: {path: a.py}}
- {name: v, use_variants: true}
node_variants:
  v:
    default_variant_id: x
    variants:
      x: {node: {type: python, source: {path: x.py}}}
      y: {node: {type: python, source: {path: y.py}}}
#- a.py
import bs4
#      ^^^ error[undeclared-import]: `bs4` is imported, and neither the requirements nor promptflow bring it: it is in `beautifulsoup4`
#- x.py
import docx
#      ^^^^ error[undeclared-import]: `docx` is imported, and neither the requirements nor promptflow bring it: it is in `python-docx`
#- y.py
import torch
#      ^^^^^ warning[undeclared-import]: `torch` is imported, and neither the requirements nor promptflow bring it: it is in `torch`
";
        fixture::raises(&super::RULE, flow);
    }

    #[test]
    fn by_requirements() {
        let a = "#- a.py\nimport docx, contoso\n";
        for brings in [
            "Python_Docx==1.1",
            "docxtpl",
            "contoso-tools",
            "langchain",
            "uvicorn[standard]",
            "-e .",
            "./wheels/x.whl",
            "git+https://example.com/x.git",
            "-r https://example.com/r.txt",
            "-r gone.txt",
        ] {
            raises(&format!("{a}#- requirements.txt\n{brings}\n"));
        }
        raises(
            "#- a.py
import docx, contoso
#      ^^^^ error[undeclared-import]: `docx` is imported, and neither the requirements nor promptflow bring it: it is in `python-docx`
#- requirements.txt
# python-docx
promptflow[azure]
openpyxl>=3
-c limits.txt
#- limits.txt
python-docx==1.1
contoso==1
",
        );
    }

    #[test]
    fn by_image() {
        let flow = |environment: &str| {
            let fixture = format!(
                "{FLOW}environment: {{{environment}}}\n#- a.py\nimport bs4, torch\n#- c.yml\nname: c\n#- requirements.txt\nrequests\n"
            );
            let (_, findings) = fixture::findings(&fixture::files(&fixture));
            let own = findings.into_iter().filter(|finding| finding.rule == super::RULE.name);
            own.map(|finding| finding.level).collect::<Vec<_>>()
        };
        use crate::Level::{Error, Warning};
        // `bs4` comes with Microsoft's image.
        let runtime = "mcr.microsoft.com/azureml/promptflow/promptflow-runtime:20251211.v2";
        assert_eq!(flow(&format!("image: '{runtime}'")), [Warning]);
        assert_eq!(flow(""), [Error, Error]);
        assert_eq!(flow("image: contoso.azurecr.io/flows:1"), []);
        assert_eq!(flow("conda_file: c.yml"), []);
        assert_eq!(flow("python_requirements_txt: gone.txt"), []);
    }
}
