//! What the workflow runs for, and whether its code can be trusted.
//!
//! Trust is an allow-list: an event that is not known is untrusted, and so is a known one whose payload does not say
//! what it should. Of a payload only the fields that decide are read: one that GitHub changes or drops elsewhere makes
//! no pull request untrusted.

use std::collections::HashMap;

use octocrab::models::RepositoryId;
use serde::Deserialize;
use serde_json::Value;

/// The event, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// True where the code may come from somebody who may not write to the repository.
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
    payload(variables).and_then(|payload| judge(name, payload)).unwrap_or_else(|why| Event {
        untrusted: true,
        note: Some(format!("This code is untrusted: {why}.")),
        pull_request: None,
    })
}

fn payload(variables: &HashMap<String, String>) -> Result<Value, String> {
    let path = variables.get("GITHUB_EVENT_PATH").ok_or("GITHUB_EVENT_PATH is not set")?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read the event: {error}"))?;
    let payload: Value = serde_json::from_str(&text).map_err(|error| format!("the event is not JSON: {error}"))?;
    if payload.is_object() { Ok(payload) } else { Err("the event is not a JSON object".to_owned()) }
}

/// What an event means; an error says why its code is untrusted.
///
/// A called workflow (`workflow_call`) has the event of its caller.
fn judge(name: &str, payload: Value) -> Result<Event, String> {
    let has = |pointer: &str| payload.pointer(pointer).is_some();
    let trusted = match name {
        "pull_request" | "pull_request_target" | "pull_request_review" | "pull_request_review_comment" => {
            return pull_request(payload);
        }
        // Somebody who may write to the repository pushed this code, or chose the branch or tag; or its own schedule
        // runs the default branch. A merge group holds pull requests, those of forks too, but only such a person
        // queues them. A payload with a pull request belongs to another event.
        "push" | "create" | "release" | "merge_group" | "schedule" | "workflow_dispatch" => !has("/pull_request"),
        // It runs the default branch, but a command such as `/test` on a pull request is often sent on in this way.
        "repository_dispatch" => !has("/pull_request") && !has("/client_payload/pull_request"),
        // They run the default branch. A pull request is an issue, too, and its code may be what is checked out.
        "issues" | "issue_comment" => has("/issue/number") && !has("/issue/pull_request"),
        // It runs the default branch; what it checks out is usually the commit of the run that started it.
        "workflow_run" => {
            let head = payload.pointer("/workflow_run/head_repository/id");
            head.is_some_and(Value::is_number) && head == payload.pointer("/repository/id")
        }
        // `check_run`, `check_suite`, `deployment` and `status` name a commit, which may be a fork's. Others have
        // nothing to do with code, or are not known.
        _ => false,
    };
    match (trusted, name) {
        (true, _) => Ok(Event::default()),
        (false, "") => Err("GITHUB_EVENT_NAME is not set".to_owned()),
        (false, _) => Err(format!("the event `{name}` does not say that it comes from this repository")),
    }
}

/// What is read of a pull request.
#[derive(Deserialize)]
struct PullRequest {
    number: u64,
    head: Head,
    base: Base,
}

#[derive(Deserialize)]
struct Head {
    /// A fork that was deleted has no repository any more.
    repo: Option<HeadRepository>,
}

#[derive(Deserialize)]
struct HeadRepository {
    id: RepositoryId,
}

#[derive(Deserialize)]
struct Base {
    sha: String,
    repo: BaseRepository,
}

#[derive(Deserialize)]
struct BaseRepository {
    id: RepositoryId,
    full_name: String,
}

fn pull_request(mut payload: Value) -> Result<Event, String> {
    let pull = payload.get_mut("pull_request").map(Value::take).ok_or("the event holds no pull request")?;
    let PullRequest { number, head, base } =
        serde_json::from_value(pull).map_err(|error| format!("the event's pull request cannot be read: {error}"))?;
    let untrusted = head.repo.is_none_or(|head| head.id != base.repo.id);
    Ok(Event {
        untrusted,
        note: untrusted.then(|| {
            format!("Pull request {number} comes from a fork: its flows run without a network and without secrets.")
        }),
        pull_request: Some(Pull { repository: base.repo.full_name, number, base_sha: base.sha }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payloads as GitHub sends them; see their README.
    const PULL_REQUEST: &str = include_str!("../testdata/pull_request.json");
    const CHECK_SUITE: &str = include_str!("../testdata/check_suite.json");
    const ISSUE_COMMENT: &str = include_str!("../testdata/issue_comment.json");
    const MERGE_GROUP: &str = include_str!("../testdata/merge_group.json");
    const WORKFLOW_RUN_OF_A_FORK: &str = include_str!("../testdata/workflow_run.json");

    fn event(name: &str, payload: &str) -> Event {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), payload).unwrap();
        let variables =
            [("GITHUB_EVENT_NAME", name.to_owned()), ("GITHUB_EVENT_PATH", file.path().display().to_string())];
        read(&variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    /// The same with a value replaced, or taken out.
    fn with(text: &str, pointer: &str, value: Option<Value>) -> String {
        let mut payload = json(text);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = payload.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(parent.insert(name.to_owned(), value)),
            None => drop(parent.remove(name).unwrap_or_else(|| panic!("no {pointer}"))),
        }
        payload.to_string()
    }

    const PULLS: [&str; 4] =
        ["pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment"];

    #[test]
    fn a_pull_request_is_trusted_by_its_repositories() {
        let fork = with(PULL_REQUEST, "/pull_request/head/repo/id", Some(2.into()));
        let deleted = with(PULL_REQUEST, "/pull_request/head/repo", Some(Value::Null));
        for name in PULLS {
            let own = event(name, PULL_REQUEST);
            assert!(!own.untrusted && own.note.is_none(), "{name}: {own:?}");
            let pull = own.pull_request.unwrap();
            assert_eq!((pull.repository.as_str(), pull.number), ("Codertocat/Hello-World", 2));
            assert_eq!(pull.base_sha, "f95f852bd8fca8fcc58a9a2d6c842781e32a215e");
            for payload in [&fork, &deleted] {
                let read = event(name, payload);
                assert!(read.untrusted && read.pull_request.is_some(), "{name}: {read:?}");
                assert!(read.note.unwrap().starts_with("Pull request 2 comes from a fork"));
            }
        }
    }

    /// Each field of a real payload is taken out in turn.
    #[test]
    fn only_the_fields_that_decide_are_needed() {
        fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
            for (name, value) in value.as_object().into_iter().flatten() {
                let at = format!("{at}/{name}");
                fields(value, &at, found);
                found.push(at);
            }
        }
        let mut all = Vec::new();
        fields(&json(PULL_REQUEST), "", &mut all);
        let is_trusted = |payload: &str| judge("pull_request", json(payload)).is_ok_and(|event| !event.untrusted);
        let needed: Vec<&String> = all.iter().filter(|field| !is_trusted(&with(PULL_REQUEST, field, None))).collect();
        assert_eq!(
            needed,
            [
                "/pull_request/number",
                "/pull_request/head/repo/id",
                "/pull_request/head/repo",
                "/pull_request/head",
                "/pull_request/base/sha",
                "/pull_request/base/repo/id",
                "/pull_request/base/repo/full_name",
                "/pull_request/base/repo",
                "/pull_request/base",
                "/pull_request",
            ]
        );
    }

    #[test]
    fn only_known_events_of_known_shape_are_trusted() {
        let fork = with(PULL_REQUEST, "/pull_request/head/repo/id", Some(2.into()));
        let comment_on_a_pull_request = with(ISSUE_COMMENT, "/issue/pull_request", Some(serde_json::json!({})));
        let own_run = with(WORKFLOW_RUN_OF_A_FORK, "/workflow_run/head_repository/id", Some(283_462_325.into()));
        let unnamed_run = with(WORKFLOW_RUN_OF_A_FORK, "/workflow_run/head_repository", None);
        let command = r#"{"client_payload": {"pull_request": {"number": 7}}}"#;
        for (name, payload, trusted) in [
            ("push", "{}", true),
            ("create", "{}", true),
            ("release", "{}", true),
            ("schedule", "{}", true),
            ("workflow_dispatch", "{}", true),
            ("merge_group", MERGE_GROUP, true),
            ("repository_dispatch", r#"{"client_payload": {"model": "x"}}"#, true),
            ("repository_dispatch", command, false),
            ("issue_comment", ISSUE_COMMENT, true),
            ("issues", ISSUE_COMMENT, true),
            ("issue_comment", &comment_on_a_pull_request, false),
            ("issue_comment", "{}", false),
            ("workflow_run", &own_run, true),
            ("workflow_run", WORKFLOW_RUN_OF_A_FORK, false),
            ("workflow_run", &unnamed_run, false),
            ("workflow_run", "{}", false),
            ("workflow_run", r#"{"workflow_run":{"head_repository":{"id":null}},"repository":{"id":null}}"#, false),
            // What is not what it says.
            ("push", &fork, false),
            ("workflow_dispatch", PULL_REQUEST, false),
            ("push", "", false),
            ("push", "[]", false),
            ("pull_request", "{}", false),
            ("pull_request", r#"{"pull_request": 3}"#, false),
            // What may run a fork's commit, and what is not known.
            ("check_suite", CHECK_SUITE, false),
            ("check_suite", &fork, false),
            ("check_run", "{}", false),
            ("deployment", "{}", false),
            ("status", "{}", false),
            ("pull_request_new", PULL_REQUEST, false),
            ("workflow_call", "{}", false),
            ("Push", "{}", false),
            ("bogus", &fork, false),
            ("", &fork, false),
        ] {
            let read = event(name, payload);
            assert_eq!(!read.untrusted, trusted, "{name} {payload:.60}: {read:?}");
            assert_eq!(read.note.is_none(), trusted, "{name}: {read:?}");
        }
        assert!(read(&HashMap::from([("GITHUB_EVENT_NAME".to_owned(), "push".to_owned())])).untrusted);
    }
}
