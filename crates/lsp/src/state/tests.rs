use super::*;
use flowgate_flow::Position;

const PATH: &str = "/nowhere/requirements.txt";

fn opened() -> State {
    let mut state = State::default();
    let document = Document {
        uri: Url::from_file_path(PATH).unwrap(),
        version: 1,
        text: "promptflow==1.10.0\n".into(),
        saved: false,
    };
    state.open(PATH.into(), document);
    // The first job looks for flows that own the file; then it is known to be alone.
    let job = state.plan().unwrap();
    state.accept(job.run());
    assert!(state.due().is_empty());
    state
}

fn insert(state: &mut State, version: i32, text: &str) {
    let start = Position { line: 0, column: 0 };
    state.change(Path::new(PATH), version, vec![Change { range: Some((start, start)), text: text.to_owned() }]);
}

fn told(state: &mut State) -> Vec<(Option<i32>, Vec<u32>)> {
    let lines = |publication: Publication| {
        (publication.version, publication.diagnostics.iter().map(|diagnostic| diagnostic.range.start.line).collect())
    };
    state.due().into_iter().map(lines).collect()
}

#[test]
fn a_result_for_an_older_text_is_dropped() {
    let mut state = opened();
    let old = state.plan().unwrap();
    insert(&mut state, 2, "\n");
    state.accept(old.run());
    assert_eq!(told(&mut state), []);
    assert!(state.analyses_of(Path::new(PATH)).is_none());
    let new = state.plan().unwrap();
    state.accept(new.run());
    assert_eq!(told(&mut state), [(Some(2), vec![1])]);
    assert!(state.plan().is_none());
    assert_eq!(told(&mut state), []);
}

#[test]
fn what_was_shown_stays_until_the_new_text_is_analysed() {
    let mut state = opened();
    let job = state.plan().unwrap();
    state.accept(job.run());
    assert_eq!(told(&mut state), [(Some(1), vec![0])]);
    insert(&mut state, 2, "\n\n");
    assert_eq!(told(&mut state), []);
    let job = state.plan().unwrap();
    state.accept(job.run());
    assert_eq!(told(&mut state), [(Some(2), vec![2])]);
}

#[test]
fn a_file_that_is_closed_meanwhile_is_not_published() {
    let mut state = opened();
    let job = state.plan().unwrap();
    state.close(Path::new(PATH));
    state.accept(job.run());
    assert!(state.plan().is_none());
    assert_eq!(told(&mut state), []);
}

#[test]
fn a_check_that_breaks_off_is_not_tried_again_on_the_same_text() {
    let mut state = opened();
    let job = state.plan().unwrap();
    state.accept(job.given_up());
    assert!(state.plan().is_none());
    insert(&mut state, 2, "\n");
    let job = state.plan().unwrap();
    state.accept(job.run());
    assert_eq!(told(&mut state), [(Some(2), vec![1])]);
}
