use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::Span;
use flowgate_flow::project::{Bar, FileId};

pub(super) const RULE: Rule = Rule {
    name: "unreadable-file",
    group: Group::Files,
    level: Level::Error,
    summary: "A file that flowgate cannot read: it is not there, not UTF-8, too long, or a named pipe, a socket or a device.",
    cases: &["special-file"],
    why: "What cannot be read cannot be checked. The engine reads UTF-8 only, too. A pipe that nothing writes to would keep its reader waiting, so that only regular files are opened; one that a flow does not name is a warning, for it is left out of the run.",
    bad: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n\u{0}",
    good: "#- flow.dag.yaml\nenvironment:\n  python_requirements_txt: requirements.txt\n#- requirements.txt\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let whole =
        |file: usize, message: String| Finding::error(Place { file: FileId(file), span: Span::empty(0) }, message);
    let files = context.project.files.iter().enumerate();
    let mut findings: Vec<Finding> = files
        .filter_map(|(index, file)| match &file.unreadable {
            Some(reason) => Some(whole(index, reason.clone())),
            None if file.text.contains('\0') => {
                Some(whole(index, "the file holds NUL bytes: it is not a text file".to_owned()))
            }
            None => None,
        })
        .collect();
    findings.extend(context.project.barred.iter().filter(|barred| matches!(barred.bar, Bar::Special(_))).map(
        |barred| {
            let level = if barred.keeps_from_running() { Level::Error } else { Level::Warning };
            let (file, span) = barred.at.unwrap_or((FileId(0), Span::empty(0)));
            Finding::new(level, Place { file, span }, barred.message()).help(barred.help())
        },
    ));
    // The engine runs such a file, so it is not an error.
    let skipped = context.project.python_files().filter(|python| python.module.skipped).filter(|python| {
        // One that is too long is named above.
        context.project.file(python.file).is_some_and(|file| file.unreadable.is_none())
    });
    findings.extend(skipped.map(|python| {
        let message = "the file has too many words, or nests too deep, for flowgate to look into it";
        Finding::new(Level::Warning, Place { file: python.file, span: Span::empty(0) }, message)
            .help("what it defines and imports is not checked; move large data out of it")
    }));
    findings
}

#[cfg(test)]
mod tests {
    use flowgate_flow::load::{Memory, load_project, load_requirements};
    use std::path::Path;

    #[test]
    fn says_what_was_not_looked_into() {
        let flow = "nodes:\n- name: a\n  type: python\n  source: {type: code, path: a.py}\n  inputs: {}\n";
        let deep = format!("x = {}{}\n", "(".repeat(2000), ")".repeat(2000));
        let files = [("/f/flow.dag.yaml".into(), flow.into()), ("/f/a.py".into(), deep.into_bytes())];
        let project = load_project(&Memory { files: files.into() }, Path::new("/f/flow.dag.yaml"));
        let findings = crate::check(&project, &Default::default(), &Default::default());
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.rule, finding.level), ("unreadable-file", super::Level::Warning));
        assert!(finding.message.starts_with("the file has too many words"), "{}", finding.message);
    }

    fn message(bytes: Vec<u8>) -> String {
        let memory = Memory { files: [("/f/flow.dag.yaml".into(), bytes)].into() };
        let project = load_project(&memory, Path::new("/f/flow.dag.yaml"));
        let findings = crate::check(&project, &Default::default(), &Default::default());
        findings.into_iter().map(|f| format!("{}: {}", f.rule, f.message)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn says_why() {
        assert_eq!(message(b"\xff\xfea\0".to_vec()), "unreadable-file: the file is UTF-16; save it as UTF-8");
        assert_eq!(
            message(b"inputs: \x80".to_vec()),
            "unreadable-file: the file is not UTF-8 text: byte 9 does not belong to any character"
        );
        let long = vec![b'#'; 10 << 20];
        assert_eq!(
            message(long),
            "unreadable-file: the file is longer than 4 MiB, which is the most that flowgate reads"
        );
        for (files, message) in [
            (vec![], "cannot read the file: there is no such file"),
            (
                vec![("/f/requirements.txt".into(), b"a\r\n".repeat(50_001))],
                "the file has more than 50000 lines, which is the most that flowgate reads",
            ),
            (vec![("/f/requirements.txt".into(), b"a\r\n".repeat(50_000))], ""),
        ] {
            let memory = Memory { files: files.into_iter().collect() };
            let project = load_requirements(&memory, Path::new("/f/requirements.txt"));
            let findings = crate::check(&project, &Default::default(), &Default::default());
            assert_eq!(findings.first().map_or("", |finding| &finding.message), message);
        }
    }
}
