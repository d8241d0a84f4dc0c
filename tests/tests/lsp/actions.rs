//! Fixes as code actions.

use flowgate_tests::Folder;
use serde_json::{Value, json};

use crate::client::{Client, at, range, uri};
use crate::{ANY_TOOL, GOOD_FLOW};

/// Applies edits as an editor does: from the last to the first. Columns of plain letters only.
fn applied(text: &str, edits: &[Value]) -> String {
    let offset = |place: &Value| {
        let (line, column) = (place["line"].as_u64().unwrap() as usize, place["character"].as_u64().unwrap() as usize);
        text.split_inclusive('\n').take(line).map(str::len).sum::<usize>() + column
    };
    let mut edits: Vec<_> = edits
        .iter()
        .map(|edit| (offset(&edit["range"]["start"]), offset(&edit["range"]["end"]), edit["newText"].as_str().unwrap()))
        .collect();
    edits.sort_by_key(|(start, ..)| std::cmp::Reverse(*start));
    edits.into_iter().fold(text.to_owned(), |mut text, (start, end, new)| {
        text.replace_range(start..end, new);
        text
    })
}

#[tokio::test]
async fn a_safe_fix_is_preferred_and_names_the_version_that_it_is_for() {
    let text = "promptflow[azure]==1.10.0  # why\nrequests\n";
    let folder = Folder::with("lsp-fix", &[("requirements.txt", text)]);
    let requirements = folder.path().join("requirements.txt");
    let mut client =
        Client::start_with(folder.path(), json!({"workspace": {"workspaceEdit": {"documentChanges": true}}})).await;
    client.open(&requirements, text).await;
    client.edit(&requirements, 2, range(1, 8, 8), "!=1.0").await;
    let actions = client.actions(&requirements, range(0, 4, 4), None).await;
    assert_eq!(actions.len(), 1, "{actions:#?}");
    assert_eq!(
        (&actions[0]["title"], &actions[0]["kind"], &actions[0]["isPreferred"]),
        (&json!("Remove the version"), &json!("quickfix"), &json!(true))
    );
    assert_eq!(actions[0]["diagnostics"][0]["code"], "pinned-promptflow");
    let change = &actions[0]["edit"]["documentChanges"][0];
    assert_eq!(change["textDocument"], json!({"uri": uri(&requirements), "version": 2}));
    let fixed = applied("promptflow[azure]==1.10.0  # why\nrequests!=1.0\n", change["edits"].as_array().unwrap());
    assert_eq!(fixed, "promptflow[azure]  # why\nrequests!=1.0\n");
    assert!(client.actions(&requirements, range(1, 2, 2), None).await.is_empty());
    while client.published(&requirements).await.version != Some(2) {}
    client.finish().await;
}

#[tokio::test]
async fn a_guess_is_not_preferred_and_an_old_editor_gets_plain_edits() {
    let text = GOOD_FLOW.replace("txt: requirements.txt", "txt: requirement.txt");
    let folder =
        Folder::with("lsp-guess", &[("flow.dag.yaml", &text), ("answer.py", ANY_TOOL), ("requirements.txt", "")]);
    let flow = folder.path().join("flow.dag.yaml");
    let mut client = Client::start(folder.path()).await;
    client.open(&flow, &text).await;
    assert_eq!(client.published(&flow).await.findings(), ["1:27-42 requirements-path-not-found"]);
    let actions = client.actions(&flow, range(1, 30, 30), None).await;
    assert_eq!(actions[0]["isPreferred"], false);
    let edits = actions[0]["edit"]["changes"][uri(&flow)].as_array().expect("plain edits");
    assert_eq!(applied(&text, edits), GOOD_FLOW);
    assert!(actions[0]["edit"].get("documentChanges").is_none());
    client.finish().await;
}

#[tokio::test]
async fn fix_all_applies_every_safe_fix_and_no_guess() {
    let text = "promptflow==1.0\n-i https://{PRIVATE}@pkgs.dev.azure.com/o/_packaging/f/pypi/simple/\npromptflow-tools~=1.4 # x\n";
    let folder = Folder::with("lsp-all", &[("requirements.txt", text)]);
    let requirements = folder.path().join("requirements.txt");
    let mut client = Client::start(folder.path()).await;
    client.open(&requirements, text).await;
    assert_eq!(client.published(&requirements).await.diagnostics.len(), 3);
    let everywhere = json!({"start": at(0, 0), "end": at(3, 0)});
    for only in [vec!["source.fixAll.flowgate"], vec!["source.fixAll"], vec!["source"]] {
        let actions = client.actions(&requirements, everywhere.clone(), Some(&only)).await;
        assert_eq!(actions.len(), 1, "{only:?}: {actions:#?}");
        assert_eq!(actions[0]["kind"], "source.fixAll.flowgate");
        let fixed = applied(text, actions[0]["edit"]["changes"][uri(&requirements)].as_array().unwrap());
        assert_eq!(
            (fixed.contains("==1.0"), fixed.contains("~=1.4"), fixed.ends_with("promptflow-tools # x\n")),
            (false, false, true),
            "{fixed}"
        );
    }
    for (only, count) in [("quickfix", 2), ("refactor", 0), ("source.fixAll.other", 0), ("sour", 0)] {
        let actions = client.actions(&requirements, everywhere.clone(), Some(&[only])).await;
        assert!(
            actions.iter().all(|action| action["kind"] == "quickfix")
                && (actions.len() >= count)
                && (count > 0 || actions.is_empty()),
            "{only}: {actions:#?}"
        );
    }
    client.finish().await;
}

#[tokio::test]
async fn a_fix_is_offered_on_the_line_whose_finding_the_editor_shows() {
    let text = "  promptflow==1.0   # here\n";
    let folder = Folder::with("lsp-line", &[("requirements.txt", text)]);
    let requirements = folder.path().join("requirements.txt");
    let mut client = Client::start(folder.path()).await;
    client.open(&requirements, text).await;
    let shown = client.published(&requirements).await.diagnostics;
    assert!(client.actions(&requirements, range(0, 22, 22), None).await.is_empty());
    let params = json!({"textDocument": {"uri": uri(&requirements)}, "range": range(0, 22, 22), "context": {"diagnostics": shown}});
    let actions = client.request("textDocument/codeAction", params).await;
    assert_eq!(actions.as_array().unwrap().len(), 1, "{actions}");
    client.finish().await;
}
