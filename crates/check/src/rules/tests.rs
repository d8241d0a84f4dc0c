//! What holds for every rule.

use super::ALL;
use crate::fixture;

#[test]
fn the_bad_example_raises_exactly_its_rule() {
    for rule in ALL {
        let findings = fixture::findings_of(rule, &fixture::files(rule.bad));
        assert!(!findings.is_empty(), "{}: its bad example raises nothing", rule.name);
        for finding in findings {
            assert_eq!(finding.rule, rule.name, "{}: its bad example also raises {finding:?}", rule.name);
        }
    }
}

#[test]
fn the_good_example_raises_nothing() {
    for rule in ALL {
        let findings = fixture::findings_of(rule, &fixture::files(rule.good));
        assert!(findings.is_empty(), "{}: its good example raises {findings:?}", rule.name);
    }
}

#[test]
fn the_fix_turns_bad_into_good() {
    for rule in ALL {
        let fixed = fixture::fixed(rule.bad);
        match rule.fix {
            Some(_) => assert_eq!(fixed, rule.good, "{}", rule.name),
            None => assert_eq!(fixed, rule.bad, "{} has a fix that its declaration does not mention", rule.name),
        }
    }
}

#[test]
fn a_notice_is_off_until_it_is_turned_on() {
    let notices: Vec<_> = ALL.iter().filter(|rule| rule.is_notice()).collect();
    assert!(!notices.is_empty());
    for rule in notices {
        let (_, findings) = fixture::findings(&fixture::files(rule.bad));
        assert!(findings.is_empty(), "{}: {findings:?}", rule.name);
    }
}

#[test]
fn names_are_unique_kebab_case_and_the_files_name() {
    for (index, rule) in ALL.iter().enumerate() {
        assert!(rule.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", rule.name);
        assert!(ALL[..index].iter().all(|other| other.name != rule.name), "{} twice", rule.name);
        let file = format!("{}/src/rules/{}.rs", env!("CARGO_MANIFEST_DIR"), rule.name.replace('-', "_"));
        assert!(std::path::Path::new(&file).is_file(), "{file}");
    }
}

#[test]
fn cases_are_unique_kebab_case_and_no_rules() {
    let mut seen = std::collections::BTreeSet::new();
    for (rule, case) in ALL.iter().flat_map(|rule| rule.cases.iter().map(move |case| (rule, *case))) {
        assert!(case.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())), "{case}");
        assert!(super::find(case).is_none() && seen.insert(case), "`{case}` of {} names something else too", rule.name);
        assert_eq!(super::covering(case).map(|covering| covering.name), Some(rule.name));
    }
    assert!(!seen.is_empty());
}

proptest::proptest! {
    /// No text makes a rule panic, and every place and every edit fits its file.
    #[test]
    fn any_text_is_checked(
        flow in r"(?s)((inputs|outputs|nodes|- name|  type|  source|    path|  inputs|  reference|  activate|    when|environment|  python_requirements_txt|entry|a|b)(:|: )?( ?(\$\{inputs\.a\}|\$\{b\.output\}|\$\{|\[|\{\{inputs\.a\}\}|string|str|Python|requirements\.txt|&a|\*a|é😀|'|\|))?\r?\n){0,24}",
        requirements in r"(?s)((promptflow|-i|--extra-index-url|https://|http://|\{private\}|\$\{private\}|@|pkgs\.dev\.azure\.com|/o/_packaging/f|/pypi/simple|==|1\.0|\[x\]|;|#|\\|é| |\n){0,4}\n?){0,10}",
    ) {
        let files = vec![("flow.dag.yaml".to_owned(), flow), ("requirements.txt".to_owned(), requirements)];
        let (project, findings) = fixture::findings(&files);
        for finding in findings {
            let places = std::iter::once(finding.at)
                .chain(finding.related.iter().map(|r| r.at))
                .chain(finding.fix.iter().flat_map(|f| f.edits.iter().map(|e| e.at)));
            for place in places {
                assert!(project.text(place.file).get(place.span.start..place.span.end).is_some(), "{}: {place:?}", finding.rule);
            }
        }
    }
}
