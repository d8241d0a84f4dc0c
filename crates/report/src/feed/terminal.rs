//! For people: the way, step by step, with the next step where it ends.

use flowgate_runtime::feed::Diagnosis;

use super::ended_name;
use crate::escape;

/// Every feed's way.
pub fn render(diagnoses: &[Diagnosis]) -> String {
    let mut out = String::new();
    for diagnosis in diagnoses {
        out += &format!("{}\n", escape::line(&diagnosis.url));
        for step in &diagnosis.steps {
            let place = step.place.to_string();
            out += &format!("  {:<6}  {place:<8}  {}\n", ended_name(step.ended), escape::line(&step.said));
            if let Some(next) = &step.next {
                out += &format!("{:20}help: {}\n", "", escape::line(next));
            }
        }
        out += match diagnosis.is_usable() {
            true => "the feed can be used\n",
            false => "the feed cannot be used\n",
        };
    }
    out
}
