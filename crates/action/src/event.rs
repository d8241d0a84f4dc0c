//! What the workflow runs for.

use std::collections::HashMap;

use octocrab::models::pulls::PullRequest;
use serde_json::Value;

/// The event, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// True for a pull request whose head is another repository than its base, or cannot be told:
    /// its code is a stranger's.
    pub(crate) untrusted: bool,
    /// What the user should know about it: a full sentence.
    pub(crate) note: Option<String>,
    /// The pull request, where the event is about one that can be read.
    pub(crate) pull_request: Option<Pull>,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pull {
    /// `owner/name` of the repository that it is made to.
    pub(crate) repository: String,
    /// Its number.
    pub(crate) number: u64,
    /// The commit that it is made upon.
    pub(crate) base_sha: String,
}

/// Reads `GITHUB_EVENT_NAME` and the file at `GITHUB_EVENT_PATH`.
pub(crate) fn read(variables: &HashMap<String, String>) -> Event {
    let name = variables.get("GITHUB_EVENT_NAME").map_or("", String::as_str);
    let payload = || {
        let path = variables.get("GITHUB_EVENT_PATH").ok_or("GITHUB_EVENT_PATH is not set")?;
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read the event: {error}"))?;
        serde_json::from_str::<Value>(&text).map_err(|error| format!("the event is not JSON: {error}"))
    };
    let stranger = |why: String| Event { untrusted: true, note: Some(why), pull_request: None };
    match name {
        // `pull_request_target` and `pull_request_review` carry a pull request, too.
        _ if name.starts_with("pull_request") => match payload().and_then(pull_request) {
            Ok(pull) => judge(&pull),
            Err(error) => stranger(format!("The pull request counts as a stranger's: {error}.")),
        },
        // It runs on the default branch, and what its workflow checks out is up to the workflow.
        "issue_comment" => match payload() {
            Ok(payload)
                if payload.pointer("/issue/number").is_some() && payload.pointer("/issue/pull_request").is_none() =>
            {
                Event::default()
            }
            _ => stranger(
                "A comment on a pull request does not tell whose code is checked out: it counts as a stranger's."
                    .to_owned(),
            ),
        },
        "workflow_run" => match payload() {
            Ok(payload) if is_own_run(&payload) => Event::default(),
            _ => stranger(
                "The workflow was started by a run for another repository: its code counts as a stranger's.".to_owned(),
            ),
        },
        _ => Event::default(),
    }
}

/// True where the run that started this one was for the repository itself.
fn is_own_run(payload: &Value) -> bool {
    let head = payload.pointer("/workflow_run/head_repository/id");
    head.is_some() && head == payload.pointer("/repository/id")
}

fn pull_request(mut payload: Value) -> Result<PullRequest, String> {
    let pull = payload.get_mut("pull_request").map(Value::take).ok_or("the event holds no pull request")?;
    serde_json::from_value(pull).map_err(|error| format!("the event's pull request cannot be read: {error}"))
}

fn judge(pull: &PullRequest) -> Event {
    let head = pull.head.repo.as_ref().map(|repository| repository.id);
    let base = pull.base.repo.as_ref().map(|repository| repository.id);
    // A fork that was deleted has no repository any more.
    if head.is_none() || head != base {
        let note = format!(
            "Pull request {} comes from a fork: its flows run without a network and without secrets.",
            pull.number
        );
        return Event { untrusted: true, note: Some(note), pull_request: of(pull) };
    }
    match of(pull) {
        Some(pull) => Event { pull_request: Some(pull), ..Event::default() },
        // What is built for it must belong to it.
        None => {
            let note =
                format!("Pull request {} does not name its repository, and counts as a stranger's.", pull.number);
            Event { untrusted: true, note: Some(note), pull_request: None }
        }
    }
}

fn of(pull: &PullRequest) -> Option<Pull> {
    let repository = pull.base.repo.as_ref()?.full_name.clone()?;
    Some(Pull { repository, number: pull.number, base_sha: pull.base.sha.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, payload: Option<&str>) -> Event {
        let path = std::env::temp_dir().join(format!(
            "flowgate-event-{}-{:?}.json",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, payload.unwrap_or("")).unwrap();
        let variables = [("GITHUB_EVENT_NAME", name.to_owned()), ("GITHUB_EVENT_PATH", path.display().to_string())];
        let event = read(&variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        std::fs::remove_file(&path).unwrap();
        event
    }

    fn pull(head: Option<u64>) -> String {
        let repository = |id: u64| serde_json::json!({"id": id, "name": "flows", "full_name": "o/flows", "url": "https://api.github.com/repos/o/flows"});
        let branch = |id: Option<u64>| serde_json::json!({"ref": "b", "sha": "0", "repo": id.map(repository)});
        serde_json::json!({"pull_request": {"id": 1, "number": 7, "url": "https://api.github.com/x", "head": branch(head), "base": branch(Some(1))}}).to_string()
    }

    #[test]
    fn a_fork_is_not_trusted() {
        assert!(!event("pull_request", Some(&pull(Some(1)))).untrusted);
        assert!(event("pull_request", Some(&pull(Some(2)))).note.unwrap().contains("Pull request 7 comes from a fork"));
        assert!(event("pull_request_target", Some(&pull(None))).untrusted);
    }

    #[test]
    fn what_cannot_be_told_is_not_trusted() {
        for payload in ["", "{}", "[]", "{\"pull_request\": 3}"] {
            assert!(event("pull_request", Some(payload)).untrusted, "{payload}");
        }
        assert!(!event("push", Some("{}")).untrusted);
    }

    #[test]
    fn a_pull_request_without_the_name_of_its_repository_is_not_trusted() {
        let unnamed = pull(Some(1)).replace("\"full_name\":\"o/flows\",", "");
        let read = event("pull_request", Some(&unnamed));
        assert!(read.untrusted && read.note.unwrap().contains("does not name its repository"), "{unnamed}");
    }

    #[test]
    fn events_that_may_bring_a_stranger_along() {
        let own = "{\"workflow_run\": {\"head_repository\": {\"id\": 1}}, \"repository\": {\"id\": 1}}";
        assert!(!event("workflow_run", Some(own)).untrusted);
        for other in [own.replacen("\"id\": 1", "\"id\": 2", 1).as_str(), "{}", "{\"repository\": {}}", ""] {
            assert!(event("workflow_run", Some(other)).untrusted, "{other}");
        }
        assert!(!event("issue_comment", Some("{\"issue\": {\"number\": 3}}")).untrusted);
        for other in ["{\"issue\": {\"number\": 3, \"pull_request\": {}}}", "{}", ""] {
            assert!(event("issue_comment", Some(other)).untrusted, "{other}");
        }
    }
}
