use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::rule::{Group, Rule};
use crate::rules::undeclared_import;
use crate::suggest;
use flowgate_flow::project::{FlowFile, Presence};
use flowgate_flow::python::DefinitionKind;
use flowgate_flow::{Span, Spanned};

pub(super) const RULE: Rule = Rule {
    name: "invalid-entry",
    group: Group::Flow,
    level: Level::Error,
    summary: "A flex flow whose `entry` names no function or class.",
    cases: &[
        "malformed-entry",
        "entry-is-a-path",
        "unknown-entry-module",
        "unknown-entry-function",
        "entry-refused-by-pf",
    ],
    why: "The engine splits `entry` at its colon (`InvalidFlexFlowEntry`), imports the module from the flow's folder or an installed package, and takes the name from it (`PythonLoadError`). The `pf` commands also refuse other characters than letters, digits, `_` and `.` (a warning).",
    bad: "#- flow.flex.yaml\nentry: answer.py:answer\n#- answer.py\ndef answer(question: str):\n    return question\n",
    good: "#- flow.flex.yaml\nentry: answer:answer\n#- answer.py\ndef answer(question: str):\n    return question\n",
    fix: Some(
        "Writes the module of a file that is named by its path (safe), or the most similar module or name (unsafe).",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(file) = context.flow_file().filter(|file| file.flow.flex && is_python(file)) else { return Vec::new() };
    let Some(entry) = file.document.root.get("entry") else { return Vec::new() };
    let place = |span| Place { file: file.file, span };
    let written = file.flow.entry.as_ref();
    let Some((entry, (module, name))) = written.and_then(|entry| Some((entry, parts(&entry.value)?))) else {
        let at = if entry.value.span.is_empty() { entry.key.span } else { entry.value.span };
        let finding = Finding::error(place(at), "`entry` is not of the form `MODULE:NAME`");
        let help = "write the module and the function or class in it: `entry: answer:answer`";
        return vec![finding.engine("InvalidFlexFlowEntry").help(help)];
    };
    // Where the text is not what stands in the file, the whole value is pointed at.
    let start = entry.span.slice(context.project.text(file.file)).find(&entry.value);
    let part = |offset: usize, length: usize| match start {
        Some(start) => place(Span::new(entry.span.start + start + offset, entry.span.start + start + offset + length)),
        None => place(entry.span),
    };
    // The SDK takes the modules from there.
    if file.document.root.get("code").is_some() {
        return Vec::new();
    }
    let at = part(0, module.len());
    let found = path(context, at, module)
        .or_else(|| missing(context, file, at, module))
        .or_else(|| undefined(context, part(module.len() + 1, name.len()), module, name))
        .or_else(|| refused_by_pf(place(entry.span), entry));
    found.into_iter().collect()
}

fn is_python(file: &FlowFile) -> bool {
    file.flow.language.as_ref().is_none_or(|language| language.value != "csharp")
}

fn parts(entry: &str) -> Option<(&str, &str)> {
    entry.split_once(':').filter(|(_, name)| !name.contains(':'))
}

/// A path in the module's place: Python imports none.
fn path(context: &Context<'_>, at: Place, module: &str) -> Option<Finding> {
    let stem = module.strip_suffix(".py").unwrap_or(module);
    let is_path = module.contains(['/', '\\']);
    let is_file = stem != module && candidates(context).iter().any(|candidate| candidate == module);
    (is_path || is_file).then(|| {
        let finding = Finding::error(at, format!("`{module}` is a path, and `entry` takes a module"));
        let dotted = stem.trim_start_matches("./").replace(['/', '\\'], ".");
        let help = format!("write `{dotted}`");
        write(context, finding.engine("PythonLoadError").help(help), Applicability::Safe, module, &dotted)
    })
}

/// A module that is not there. Where the folder has one of nearly the same name, that is meant; else
/// it may come from a package.
fn missing(context: &Context<'_>, file: &FlowFile, at: Place, module: &str) -> Option<Finding> {
    let top = module.split('.').next().unwrap_or(module);
    let requirements = context.requirements().iter().flat_map(|file| file.requirements.requirements());
    let mut names = requirements.map(|requirement| requirement.normalized_name());
    if names.any(|name| name.is_none_or(|name| name.replace('-', "_").eq_ignore_ascii_case(top))) {
        return None;
    }
    let paths = file.flow.entry_modules();
    let facts = paths.iter().map(|path| context.project.paths.get(path).map(|fact| &fact.presence));
    let absent = |presence: Option<&Presence>| matches!(presence, Some(Presence::Missing | Presence::OtherCase(_)));
    if paths.is_empty() || !facts.clone().all(absent) {
        return None;
    }
    let other_case = facts.clone().find_map(|presence| match presence? {
        Presence::OtherCase(path) => Some(path),
        _ => None,
    });
    let modules = other_case.map_or_else(|| candidates(context), std::slice::from_ref).iter();
    let modules: Vec<String> = modules.filter_map(|path| Some(path.strip_suffix(".py")?.replace('/', "."))).collect();
    let finding = Finding::error(at, format!("there is no module `{module}` in the flow's folder"));
    let finding = finding.engine("PythonLoadError");
    match context.nearest(module, modules.iter().map(String::as_str)) {
        Some(near) => {
            Some(write(context, finding.help(suggest::did_you_mean(near)), Applicability::Unsafe, module, near))
        }
        None if may_come_from_elsewhere(context, file, top) => None,
        None => Some(finding.help(format!("add `{}`, or name a module that is there", paths.first()?))),
    }
}

/// True where something other than the flow's folder may bring a module.
fn may_come_from_elsewhere(context: &Context<'_>, file: &FlowFile, module: &str) -> bool {
    let own_image = file.flow.environment.as_ref().is_some_and(|environment| environment.image.is_some());
    let alone = !own_image && file.flow.additional_includes.is_empty() && context.requirements().is_empty();
    !alone || undeclared_import::may_be_brought(context, module)
}

/// Files near the module that is not there, relative to the flow's folder.
fn candidates<'p>(context: &Context<'p>) -> &'p [String] {
    let path = context.flow_file().and_then(|file| file.flow.entry_modules().into_iter().next());
    path.and_then(|path| context.project.paths.get(&path)).map_or(&[], |fact| &fact.candidates)
}

/// A name that the module does not have.
fn undefined(context: &Context<'_>, at: Place, module: &str, name: &str) -> Option<Finding> {
    let file = context.project.entry_module().filter(|file| !file.module.defines(name))?;
    let finding = Finding::error(at, format!("there is no `{name}` in module `{module}`")).engine("PythonLoadError");
    let callable = |kind| matches!(kind, DefinitionKind::Function | DefinitionKind::Class);
    let names = file.module.definitions.iter().filter(|definition| callable(definition.kind));
    Some(match context.nearest(name, names.map(|definition| definition.name.value.as_str())) {
        Some(near) => write(context, finding.help(suggest::did_you_mean(near)), Applicability::Unsafe, name, near),
        None => finding.help(format!("define it in `{module}`, or name a function or class that is there")),
    })
}

fn refused_by_pf(at: Place, entry: &Spanned<String>) -> Option<Finding> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
    (!entry.value.chars().all(plain) || entry.value.starts_with(':') || entry.value.ends_with(':')).then(|| {
        let message = format!("`pf` refuses the entry `{}`", entry.value);
        Finding::new(Level::Warning, at, message).help("use letters, digits, `_` and `.` only")
    })
}

/// Adds the repair, where the finding's place holds exactly what it replaces.
fn write(context: &Context<'_>, finding: Finding, applicability: Applicability, old: &str, new: &str) -> Finding {
    let at = finding.at;
    if context.slice(at) == old { finding.fix(applicability, format!("write `{new}`"), at, new) } else { finding }
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    const MODULE: &str =
        "#- m.py\nfrom helpers import other\n\n\ndef run(x):\n    pass\n\n\nclass C:\n    pass\n\n\nf = print\n";

    #[test]
    fn what_cannot_be_loaded() {
        let cases = [
            ("m", "error[invalid-entry]: `entry` is not of the form `MODULE:NAME`"),
            ("m:run:x", "error[invalid-entry]: `entry` is not of the form `MODULE:NAME`"),
            ("[m, run]", "error[invalid-entry]: `entry` is not of the form `MODULE:NAME`"),
        ];
        for (entry, found) in cases {
            let carets = "^".repeat(entry.len());
            fixture::raises(
                &super::RULE,
                &format!("#- flow.flex.yaml\nentry: {entry}\n#      {carets} {found}\n{MODULE}"),
            );
        }
        let parts = [
            ("elsewhere", ":run", "there is no module `elsewhere` in the flow's folder"),
            ("src.elsewhere", ":run", "there is no module `src.elsewhere` in the flow's folder"),
            ("M", ":run", "there is no module `M` in the flow's folder"),
            ("m.py", ":run", "`m.py` is a path, and `entry` takes a module"),
            ("./m", ":run", "`./m` is a path, and `entry` takes a module"),
            ("src\\m", ":run", "`src\\m` is a path, and `entry` takes a module"),
        ];
        for (module, rest, found) in parts {
            let line =
                format!("entry: {module}{rest}\n#      {} error[invalid-entry]: {found}\n", "^".repeat(module.len()));
            fixture::raises(&super::RULE, &format!("#- flow.flex.yaml\n{line}{MODULE}"));
        }
        for name in ["rum", "C.run", "print"] {
            let carets = "^".repeat(name.len());
            let line = format!(
                "entry: m:{name}\n#        {carets} error[invalid-entry]: there is no `{name}` in module `m`\n"
            );
            fixture::raises(&super::RULE, &format!("#- flow.flex.yaml\n{line}{MODULE}"));
        }
    }

    #[test]
    fn what_may_be_loaded() {
        let entries = [
            "m:run",
            "m:C",
            "m:f",
            "m:other",
            "\"m:run\"",
            "M:run\ncode: src",
            "promptflow.evals.evaluators:F1ScoreEvaluator",
            "json:loads",
            "elsewhere:run\nadditional_includes: [../elsewhere]",
            "elsewhere:run\nenvironment: {image: contoso.azurecr.io/flows}",
            "elsewhere:run\nenvironment: {conda_file: conda.yaml}",
            "elsewhere:run\nenvironment: {python_requirements_txt: r.txt}\n#- r.txt\ncontoso",
        ];
        for entry in entries {
            fixture::raises(&super::RULE, &format!("#- flow.flex.yaml\nentry: {entry}\n{MODULE}"));
        }
        fixture::raises(&super::RULE, "#- flow.flex.yaml\nentry: m:f\n#- m.py\nfrom helpers import *\n");
        fixture::raises(&super::RULE, "#- flow.flex.yaml\nentry: a-flow:f\nlanguage: csharp\n");
        let required = "#- flow.flex.yaml\nentry: my_flow:f\n#- my_flows.py\n#- requirements.txt\nmy-flow\n";
        fixture::raises(&super::RULE, required);
    }

    #[test]
    fn what_pf_refuses() {
        fixture::raises(
            &super::RULE,
            "#- flow.flex.yaml
entry: my-flow:run
#      ^^^^^^^^^^^ warning[invalid-entry]: `pf` refuses the entry `my-flow:run`
#- my-flow.py
",
        );
    }
}
