//! `flowgate rule`.

use flowgate_check::rules;
use flowgate_report::docs;

use super::Failure;
use crate::say::{self, Text};

pub(super) fn run(name: Option<&str>) -> Result<u8, Failure> {
    let Some(name) = name else {
        let width = rules::ALL.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
        let list: String = rules::ALL.iter().map(|rule| format!("{:<width$}  {}\n", rule.name, rule.summary)).collect();
        return say::print(&list, Text::People).map(|()| 0);
    };
    match rules::covering(name) {
        Some(rule) => say::print(&docs::page(rule), Text::People).map(|()| 0),
        None => Err(Failure {
            code: 2,
            message: format!("there is no rule `{name}`"),
            hint: Some("`flowgate rule` lists all".to_owned()),
        }),
    }
}
