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
    // `pull_request_target` and `pull_request_review` carry a pull request, too.
    if !name.starts_with("pull_request") {
        return Event::default();
    }
    let read = variables.get("GITHUB_EVENT_PATH").ok_or("GITHUB_EVENT_PATH is not set".to_owned()).and_then(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read the event: {error}"))?;
        pull_request(&text)
    });
    match read {
        Ok(pull) => judge(&pull),
        Err(error) => {
            let note = Some(format!("The pull request counts as a stranger's: {error}."));
            Event { untrusted: true, note, pull_request: None }
        }
    }
}

fn pull_request(text: &str) -> Result<PullRequest, String> {
    let mut payload: Value = serde_json::from_str(text).map_err(|error| format!("the event is not JSON: {error}"))?;
    let pull = payload.get_mut("pull_request").map(Value::take).ok_or("the event holds no pull request")?;
    serde_json::from_value(pull).map_err(|error| format!("the event's pull request cannot be read: {error}"))
}

fn judge(pull: &PullRequest) -> Event {
    let head = pull.head.repo.as_ref().map(|repository| repository.id);
    let base = pull.base.repo.as_ref().map(|repository| repository.id);
    // A fork that was deleted has no repository any more.
    let untrusted = head.is_none() || head != base;
    let note = untrusted.then(|| {
        format!("Pull request {} comes from a fork: its flows run without a network and without secrets.", pull.number)
    });
    let repository = pull.base.repo.as_ref().and_then(|repository| repository.full_name.clone());
    let pull_request =
        repository.map(|repository| Pull { repository, number: pull.number, base_sha: pull.base.sha.clone() });
    Event { untrusted, note, pull_request }
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
        let repository =
            |id: u64| serde_json::json!({"id": id, "name": "flows", "url": "https://api.github.com/repos/o/flows"});
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
}
