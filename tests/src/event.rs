//! What a workflow runs for, as GitHub writes it: the name of an event, and its payload.

use serde_json::{Value, json};

/// A push to the repository itself.
pub fn push() -> (&'static str, Value) {
    ("push", json!({}))
}

/// A pull request of that number, from the repository of the id `head` to repository 1, upon the commit `base_sha`.
pub fn pull_request(number: u64, head: u64, base_sha: &str) -> (&'static str, Value) {
    let side = |id: u64| {
        let repository =
            json!({"id": id, "name": "r", "full_name": format!("o{id}/r"), "url": "https://api.github.com/x"});
        json!({"ref": "b", "sha": base_sha, "repo": repository})
    };
    let pull =
        json!({"id": 1, "number": number, "url": "https://api.github.com/x", "head": side(head), "base": side(1)});
    ("pull_request", json!({ "pull_request": pull }))
}
