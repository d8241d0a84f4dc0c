//! The runner against workers that behave, hang, crash, lie and die on cue.
#![expect(clippy::unwrap_used, reason = "what a test needs is there, or the test fails")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Folder, error, options, outcomes, rows, run};
use flowgate_runtime::backend::scripted::{Reply, Request, Scripted, completed, raised};
use flowgate_runtime::outcome::{ExitReason, FlowError};
use flowgate_runtime::wire::Kind;
use flowgate_runtime::{Cancel, Case, Outcome, RunEvent, RuntimeError, Stage, Verdict};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);

fn flow() -> Folder {
    Folder::new().with(&[
        ("flow/flow.dag.yaml", "inputs: {x: {type: int}}\n"),
        ("other/flow.dag.yaml", "inputs: {x: {type: int}}\n"),
    ])
}

fn case(folder: &Folder, count: usize) -> Vec<Case> {
    vec![folder.case("flow", rows(count))]
}

/// Replies to one line in its own way, and to everything else as usual.
fn at_line(number: u64, replies: impl Fn() -> Vec<Reply> + Send + Sync + 'static) -> Scripted {
    Scripted::new(move |_, _, request| match request {
        Request::Line { line, .. } if *line == number => replies(),
        _ => vec![Reply::Usual],
    })
}

#[tokio::test]
async fn lines_pass_with_their_outputs_and_the_events_fold_into_the_report() {
    let (folder, backend) = (flow(), Scripted::usual());
    let (report, events) = run(&backend, case(&folder, 3), &options(HOUR, 2), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!(outcomes(outcome), [Outcome::Passed; 3]);
    assert_eq!(outcome.lines[2].output.as_ref().unwrap()["x"], 2);
    assert_eq!(
        (report.verdict(), report.exit_reason(), report.cancelled),
        (Verdict::Passed, ExitReason::Passed, false)
    );
    assert!(outcome.key.as_ref().is_some_and(|key| key.len() == 64));
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match event {
            RunEvent::Preparing { .. } => "preparing",
            RunEvent::Notice { .. } => "notice",
            RunEvent::Started { lines: 3, .. } => "started",
            RunEvent::Started { .. } => "started with a wrong count",
            RunEvent::LineFinished { .. } => "line",
            RunEvent::Finished { .. } => "finished",
        })
        .collect();
    assert_eq!(kinds, ["preparing", "preparing", "started", "line", "line", "line", "finished"]);
    assert_eq!((backend.counts().started(), backend.counts().stopped()), (1, 1));
}

#[tokio::test]
async fn the_packed_flow_arrives_whole() {
    let folder = Folder::new()
        .with(&[("flow/flow.dag.yaml", "additional_includes: [../big.txt]\n"), ("big.txt", &"x".repeat(3 << 20))]);
    let backend = Scripted::new(|_, _, request| match request {
        Request::Open { flow_file, archive } => {
            assert_eq!(flow_file, "flow.dag.yaml");
            let mut archive = tar::Archive::new(archive.as_slice());
            let names: Vec<(String, u64)> = archive
                .entries()
                .unwrap()
                .map(|e| e.unwrap())
                .map(|e| (e.path().unwrap().display().to_string(), e.size()))
                .collect();
            assert_eq!(names[0], ("big.txt".to_owned(), 3 << 20));
            assert_eq!(names[1].0, "flow.dag.yaml");
            vec![Reply::Usual]
        }
        _ => vec![Reply::Usual],
    });
    let (report, events) = run(&backend, case(&folder, 1), &options(HOUR, 1), &Cancel::new()).await;
    assert_eq!(report.verdict(), Verdict::Passed);
    assert!(!events.iter().any(|event| matches!(event, RunEvent::Notice { .. })), "{events:?}");
}

#[tokio::test]
async fn a_line_that_raises_fails_alone() {
    let (folder, backend) = (flow(), at_line(1, || vec![Reply::Send(Kind::Result, raised(1, "ValueError", "a"))]));
    let (report, _) = run(&backend, case(&folder, 3), &options(HOUR, 1), &Cancel::new()).await;
    assert_eq!(outcomes(&report.flows[0]), [Outcome::Passed, Outcome::Failed, Outcome::Passed]);
    let fault = report.flows[0].lines[1].error.clone().unwrap();
    assert_eq!(
        (fault.r#type.as_str(), fault.node.as_deref(), fault.traceback.as_deref()),
        ("ValueError", Some("a"), Some("Traceback"))
    );
    assert_eq!((report.verdict(), report.exit_reason()), (Verdict::Failed, ExitReason::LinesFailed));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_hangs_is_killed_and_the_rest_runs_in_a_new_job() {
    let (folder, backend) = (flow(), at_line(1, || vec![Reply::Silence]));
    let (report, _) = run(&backend, case(&folder, 4), &options(Duration::from_secs(5), 1), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!(outcomes(outcome), [Outcome::Passed, Outcome::TimedOut, Outcome::Passed, Outcome::Passed]);
    assert_eq!(error(&outcome.lines[1]), "LineExecutionTimeoutError");
    assert_eq!(outcome.lines[1].error.as_ref().unwrap().message, "row 2 took longer than 5 s and was killed");
    assert_eq!((report.exit_reason(), backend.counts().started()), (ExitReason::LinesFailed, 1));
}

#[tokio::test]
async fn a_job_that_crashes_fails_its_line_alone() {
    let crash = || {
        vec![Reply::Send(
            Kind::Ended,
            json!({"reason": "exited", "exit": null, "signal": 11, "detail": "", "output_dropped": 7}),
        )]
    };
    let (folder, backend) = (flow(), at_line(0, crash));
    let (report, _) = run(&backend, case(&folder, 3), &options(HOUR, 1), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!(outcomes(outcome), [Outcome::Failed, Outcome::Passed, Outcome::Passed]);
    assert_eq!(error(&outcome.lines[0]), "ProcessCrashError");
    assert!(outcome.lines[0].error.as_ref().unwrap().message.contains("SIGSEGV"));
    assert_eq!(outcome.log_dropped, 7);
}

#[tokio::test]
async fn whatever_a_job_forges_spoils_its_own_line_only() {
    let not_a_result = || Reply::Send(Kind::Aggregated, json!({"metrics": {}}));
    let deep =
        format!(r#"{{"line":1,"status":"Completed","output":{{"a":{}{}}}}}"#, "[".repeat(5000), "]".repeat(5000));
    let raw = |payload: &[u8]| {
        let mut bytes = u32::try_from(payload.len() + 5).unwrap().to_be_bytes().to_vec();
        bytes.extend([Kind::Result as u8, 0, 0, 0, 1]);
        bytes.extend(payload);
        Reply::Raw(bytes)
    };
    let forgeries: Vec<Vec<Reply>> = vec![
        vec![Reply::Send(Kind::Result, completed(2, &json!({})))],
        vec![not_a_result()],
        vec![not_a_result(), not_a_result(), Reply::Send(Kind::Result, completed(1, &json!({})))],
        vec![Reply::Send(Kind::Result, json!([1]))],
        vec![Reply::Send(Kind::Result, json!({"line": 1, "status": "Completed", "output": null}))],
        vec![Reply::Send(Kind::Result, json!({"line": -1, "status": "Completed", "output": {}}))],
        vec![raw(b"\xff\xfe{")],
        vec![raw(deep.as_bytes())],
        vec![Reply::Send(Kind::Ended, json!({"reason": "protocol", "detail": "the job sent kind 0x00"}))],
    ];
    for forgery in forgeries {
        let (folder, replies) = (flow(), forgery.clone());
        let backend = at_line(1, move || replies.clone());
        let (report, _) = run(&backend, case(&folder, 3), &options(HOUR, 1), &Cancel::new()).await;
        let outcome = &report.flows[0];
        assert_eq!(outcomes(outcome), [Outcome::Passed, Outcome::Failed, Outcome::Passed], "{forgery:?}");
        assert_eq!(error(&outcome.lines[1]), "ProtocolViolation", "{forgery:?}");
        assert_eq!(backend.counts().started(), 1, "{forgery:?}");
    }
}

/// Text of two bytes a value takes a hundred times as much once it is read.
#[tokio::test]
async fn an_answer_of_a_million_values_is_not_read_and_its_job_goes_on() {
    let many = json!({ "x": vec![0; 1_600_000] });
    let (folder, backend) = (flow(), at_line(1, move || vec![Reply::Send(Kind::Result, completed(1, &many))]));
    let (report, _) = run(&backend, case(&folder, 3), &options(HOUR, 1), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!(outcomes(outcome), [Outcome::Passed, Outcome::Failed, Outcome::Passed]);
    assert_eq!(error(&outcome.lines[1]), "OutputTooLarge");
    assert_eq!(outcome.lines[1].output, None);
    assert_eq!(backend.counts().started(), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_does_not_become_the_next_lines_answer() {
    let twice = || vec![Reply::Usual, Reply::Send(Kind::Result, completed(1, &json!({"forged": true})))];
    let (folder, backend) = (flow(), at_line(0, twice));
    let (report, _) = run(&backend, case(&folder, 3), &options(HOUR, 1), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert!(
        outcome.lines.iter().all(|line| line.output.as_ref().is_none_or(|output| !output.contains_key("forged"))),
        "{outcome:?}"
    );
    assert_eq!(outcomes(outcome), [Outcome::Passed, Outcome::Failed, Outcome::Passed]);
}

#[tokio::test]
async fn a_worker_that_breaks_the_protocol_ends_and_says_so() {
    let frames: Vec<(Vec<u8>, &str)> = vec![
        (vec![0xff; 64], "worker sent a frame of kind 0xff that announces 4294967295 bytes"),
        (vec![0, 0, 0, 5, 0x20, 0, 0, 0, 1], "worker sent a frame of the unknown kind 0x20"),
        (vec![0, 0, 0, 5, 0x83, 0, 0, 0, 9], "worker sent Result for channel 9, which was never opened"),
        (vec![0, 0, 0, 5, 0x81, 0, 0, 0, 0], "worker sent Hello for channel 0, which was never opened"),
        (
            vec![0, 0, 0, 5, 0x86, 0, 0, 0, 1],
            "worker sent JSON that cannot be read (EOF while parsing a value at line 1 column 0) as the end of a job",
        ),
    ];
    for (bytes, message) in frames {
        let folder = flow();
        let backend = at_line(1, move || vec![Reply::Raw(bytes.clone())]);
        let (report, _) = run(&backend, case(&folder, 4), &options(HOUR, 1), &Cancel::new()).await;
        let outcome = &report.flows[0];
        assert_eq!(
            outcomes(outcome),
            [Outcome::Passed, Outcome::Errored, Outcome::Skipped, Outcome::Skipped],
            "{message}"
        );
        let Some(FlowError::Runtime(error)) = &outcome.error else { panic!("{:?}", outcome.error) };
        assert_eq!(
            (error.stage, error.message.as_str(), error.log.as_deref()),
            (Stage::Runtime, message, Some("the script's log"))
        );
        assert_eq!((report.verdict(), report.exit_reason()), (Verdict::Errored, ExitReason::Runtime));
    }
}

#[tokio::test]
async fn a_worker_that_dies_takes_what_runs_with_it_and_later_flows_get_a_new_one() {
    let folder = flow();
    let backend = Scripted::new(|runtime, _, request| match request {
        Request::Line { line: 1, .. } if runtime == 0 => vec![Reply::Die],
        _ => vec![Reply::Usual],
    });
    // One more flow than run at the same time.
    let cases = (0..5).map(|_| folder.case("flow", rows(3))).collect();
    let (report, _) = run(&backend, cases, &options(HOUR, 1), &Cancel::new()).await;
    let broken = report.flows.iter().filter(|flow| matches!(flow.error, Some(FlowError::Runtime(_)))).count();
    let passed = report.flows.iter().filter(|flow| flow.verdict() == Verdict::Passed).count();
    assert!(broken >= 1 && passed >= 1 && broken + passed == 5, "{broken} broken, {passed} passed");
    assert_eq!((backend.counts().started(), backend.counts().stopped()), (2, 2));
    assert_eq!(report.exit_reason(), ExitReason::Runtime);
}

#[tokio::test]
async fn what_needs_a_connection_is_skipped_and_the_rest_decides() {
    let needs = || json!({"type": "ConnectionRequired", "message": "node `a` needs the connection `c`", "node": "a"});
    // What is done about the first flow, about line 1 of the second, and what both come to.
    let skip_flow = || vec![Reply::Send(Kind::Loaded, json!({ "error": needs() }))];
    let skip_line = || vec![Reply::Send(Kind::Result, json!({"line": 1, "status": "Failed", "error": needs()}))];
    let fail_line = || vec![Reply::Send(Kind::Result, raised(1, "ValueError", "a"))];
    let usual = || vec![Reply::Usual];
    for (first, second, verdict, reason) in [
        (usual(), usual(), Verdict::Passed, ExitReason::Passed),
        (skip_flow(), usual(), Verdict::Skipped, ExitReason::Skipped),
        (usual(), skip_line(), Verdict::Skipped, ExitReason::Skipped),
        (skip_flow(), fail_line(), Verdict::Failed, ExitReason::LinesFailed),
    ] {
        let backend = Scripted::new(move |runtime, _, request| match request {
            Request::Open { archive, .. } if archive.windows(5).any(|bytes| bytes == b"first") => first.clone(),
            Request::Line { line: 1, .. } if runtime == 0 => second.clone(),
            _ => vec![Reply::Usual],
        });
        let folder = Folder::new().with(&[
            ("first/flow.dag.yaml", "inputs: {first: {type: int}}\n"),
            ("second/flow.dag.yaml", "inputs: {x: {type: int}}\n"),
        ]);
        let cases = vec![folder.case("first", json!([{}])), folder.case("second", rows(2))];
        let (report, _) = run(&backend, cases, &options(HOUR, 1), &Cancel::new()).await;
        assert_eq!((report.verdict(), report.exit_reason()), (verdict, reason), "{report:#?}");
        assert_eq!(reason.code() == 0, verdict == Verdict::Passed);
    }
}

#[tokio::test]
async fn a_flow_that_the_engine_refuses_runs_no_line() {
    let folder = flow();
    let error =
        json!({"type": "InvalidSource", "message": "a.py\nis not there", "node": "a", "traceback": "Traceback"});
    let backend = Scripted::new(move |_, _, request| match request {
        Request::Open { .. } => vec![
            Reply::Send(Kind::Loaded, json!({ "error": error })),
            Reply::Send(Kind::Ended, json!({"reason": "exited", "exit": 0})),
        ],
        Request::Line { .. } => panic!("a line was sent to a flow that was refused"),
        _ => vec![Reply::Silence],
    });
    let (report, events) = run(&backend, case(&folder, 3), &options(HOUR, 2), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!(outcomes(outcome), [Outcome::Errored; 3]);
    let Some(FlowError::Refused(fault)) = &outcome.error else { panic!("{:?}", outcome.error) };
    assert_eq!((fault.r#type.as_str(), fault.traceback.as_deref()), ("InvalidSource", Some("Traceback")));
    // Rows carry the short form: there can be many.
    let row = outcome.lines[2].error.as_ref().unwrap();
    assert_eq!((row.message.as_str(), row.traceback.as_deref()), ("a.py", None));
    assert_eq!(report.exit_reason(), ExitReason::Environment);
    assert!(!events.iter().any(|event| matches!(
        event,
        RunEvent::Started { .. } | RunEvent::LineFinished { .. } | RunEvent::Notice { .. }
    )));
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_does_not_load_in_time_is_refused() {
    let folder = flow();
    let backend = Scripted::new(|_, _, request| match request {
        Request::Open { .. } => vec![Reply::Silence],
        _ => vec![Reply::Usual],
    });
    let (report, _) = run(&backend, case(&folder, 1), &options(Duration::from_secs(1), 1), &Cancel::new()).await;
    let Some(FlowError::Refused(fault)) = &report.flows[0].error else { panic!("{:?}", report.flows[0].error) };
    assert_eq!(fault.r#type, "FlowLoadTimeoutError");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_buried_holds_up_nobody_else() {
    let folder = flow();
    let backend = Scripted::new(|_, _, request| match request {
        Request::Line { line: 0, .. } | Request::Kill => vec![Reply::Silence],
        _ => vec![Reply::Usual],
    });
    let (report, _) = run(&backend, case(&folder, 2), &options(Duration::from_secs(1), 1), &Cancel::new()).await;
    assert_eq!(outcomes(&report.flows[0]), [Outcome::TimedOut, Outcome::Passed]);
    assert_eq!(report.flows[0].error, None);
}

#[tokio::test]
async fn an_environment_that_cannot_be_made_errors_every_row() {
    let folder = flow();
    let mut backend = Scripted::usual();
    backend.prepare_error =
        Some(RuntimeError::new(Stage::Environment, "installing failed").with_log("ERROR: no such package"));
    let (report, _) = run(&backend, case(&folder, 2), &options(HOUR, 1), &Cancel::new()).await;
    assert_eq!(outcomes(&report.flows[0]), [Outcome::Errored; 2]);
    assert_eq!(error(&report.flows[0].lines[1]), "EnvironmentError");
    assert_eq!((report.exit_reason(), backend.counts().started()), (ExitReason::Environment, 0));
}

#[tokio::test]
async fn one_environment_is_one_runtime_and_another_is_another() {
    let folder = flow().with(&[("other/requirements.txt", "requests\n")]);
    let backend = Scripted::usual();
    let cases = vec![folder.case("flow", rows(1)), folder.case("other", rows(1)), folder.case("flow", rows(2))];
    let (report, _) = run(&backend, cases, &options(HOUR, 1), &Cancel::new()).await;
    assert_eq!((backend.counts().started(), backend.counts().stopped()), (2, 2));
    let names: Vec<(&str, usize)> = report.flows.iter().map(|flow| (flow.flow.as_str(), flow.lines.len())).collect();
    assert_eq!(names, [("flow", 1), ("other", 1), ("flow", 2)]);
    assert_eq!(report.flows[0].key, report.flows[2].key);
    assert_ne!(report.flows[0].key, report.flows[1].key);
}

#[tokio::test]
async fn cancel_skips_what_has_not_ended_and_stops_the_runtime() {
    let folder = flow();
    let cancel = Cancel::new();
    let stop = cancel.clone();
    let backend = at_line(1, move || {
        stop.cancel();
        vec![Reply::Silence]
    });
    let (report, _) = run(&backend, case(&folder, 4), &options(HOUR, 1), &cancel).await;
    assert_eq!(outcomes(&report.flows[0]), [Outcome::Passed, Outcome::Skipped, Outcome::Skipped, Outcome::Skipped]);
    assert!(report.cancelled);
    assert_eq!((report.verdict(), report.exit_reason()), (Verdict::Errored, ExitReason::Cancelled));
    assert_eq!((backend.counts().started(), backend.counts().stopped()), (1, 1));
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_begins_starts_nothing() {
    let (folder, backend, cancel) = (flow(), Scripted::usual(), Cancel::new());
    cancel.cancel();
    let (report, _) = run(&backend, case(&folder, 2), &options(HOUR, 1), &cancel).await;
    assert_eq!(outcomes(&report.flows[0]), [Outcome::Skipped; 2]);
    assert_eq!((report.exit_reason(), backend.counts().started()), (ExitReason::Cancelled, 0));
}

#[tokio::test]
async fn aggregation_gets_the_completed_lines_in_order_with_defaults() {
    let folder = flow();
    let backend = Scripted::new(|_, _, request| match request {
        Request::Open { .. } => vec![Reply::Send(
            Kind::Loaded,
            json!({"inputs": {"x": {"type": "int"}, "y": {"type": "string", "default": "d"}}, "has_aggregation": true}),
        )],
        Request::Line { line: 1, .. } => vec![Reply::Send(Kind::Result, raised(1, "ValueError", "a"))],
        Request::Line { line, inputs } => {
            let mut body = completed(*line, inputs);
            body["aggregation_inputs"] = json!({"${a.output}": line * 10});
            body["nodes"] = json!({"a": {"status": "Completed", "stdout": "said\n", "stderr": ""}});
            vec![Reply::Send(Kind::Result, body)]
        }
        Request::Aggregate(body) => {
            let expected = json!({"inputs": {"x": [0, 2], "y": ["d", "e"]}, "aggregation_inputs": {"${a.output}": [0, 20]}, "lines": [0, 2]});
            assert_eq!(body, &expected);
            vec![Reply::Send(
                Kind::Aggregated,
                json!({"metrics": {"accuracy": 0.5}, "output": {}, "error": null, "nodes": {}}),
            )]
        }
        _ => vec![Reply::Usual],
    });
    let cases = vec![folder.case("flow", json!([{"x": 0}, {"x": 1}, {"x": 2, "y": "e"}]))];
    let (report, events) = run(&backend, cases, &options(HOUR, 1), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!(Value::Object(outcome.metrics.clone()), json!({"accuracy": 0.5}));
    assert_eq!((outcome.aggregation_error.clone(), outcome.error.clone()), (None, None), "{events:?}");
    assert_eq!(outcome.log, "said\nsaid\n");
}

#[tokio::test]
async fn an_aggregation_that_fails_fails_the_flow() {
    let replies: Vec<(Reply, &str)> = vec![
        (
            Reply::Send(
                Kind::Aggregated,
                json!({"metrics": {}, "error": {"type": "KeyError", "message": "no", "node": "sum"}}),
            ),
            "KeyError",
        ),
        (Reply::Send(Kind::Ended, json!({"reason": "exited", "exit": 3})), "ProcessCrashError"),
        (Reply::Send(Kind::Result, completed(0, &json!({}))), "ProtocolViolation"),
        (Reply::Send(Kind::Aggregated, json!({"metrics": [1]})), "ProtocolViolation"),
    ];
    for (reply, name) in replies {
        let folder = flow();
        let backend = Scripted::new(move |_, _, request| match request {
            Request::Open { .. } => vec![Reply::Send(Kind::Loaded, json!({"inputs": {}, "has_aggregation": true}))],
            Request::Aggregate(_) => vec![reply.clone()],
            _ => vec![Reply::Usual],
        });
        let (report, _) = run(&backend, case(&folder, 1), &options(HOUR, 1), &Cancel::new()).await;
        assert_eq!(report.flows[0].aggregation_error.as_ref().map(|fault| fault.r#type.as_str()), Some(name));
        assert_eq!((report.verdict(), report.exit_reason()), (Verdict::Failed, ExitReason::LinesFailed));
    }
}

#[tokio::test]
async fn output_is_captured_up_to_its_cap_and_the_rest_is_counted() {
    let folder = flow();
    let backend = Scripted::new(|_, channel, request| match request {
        Request::Line { .. } => {
            let mut frames = Vec::new();
            for _ in 0..10 {
                let payload = [&[1][..], &[b'z'; 10_000]].concat();
                frames.extend(u32::try_from(payload.len() + 5).unwrap().to_be_bytes());
                frames.push(Kind::Output as u8);
                frames.extend(channel.to_be_bytes());
                frames.extend(payload);
            }
            vec![Reply::Raw(frames), Reply::Usual]
        }
        Request::Close => vec![Reply::Send(Kind::Ended, json!({"reason": "closed", "exit": 0, "output_dropped": 5}))],
        _ => vec![Reply::Usual],
    });
    let (report, _) = run(&backend, case(&folder, 1), &options(HOUR, 1), &Cancel::new()).await;
    let outcome = &report.flows[0];
    assert_eq!((outcome.log.len(), outcome.log_dropped), (64 << 10, 100_000 - (64 << 10) + 5));
    assert_eq!(report.verdict(), Verdict::Passed);
}

#[tokio::test]
async fn a_missing_include_is_the_flows_fault_and_spoils_no_other_flow() {
    let folder = flow().with(&[("other/flow.dag.yaml", "additional_includes: [../nope]\n")]);
    let backend = Scripted::usual();
    let cases = vec![folder.case("other", rows(1)), folder.case("flow", rows(1))];
    let (report, _) = run(&backend, cases, &options(HOUR, 1), &Cancel::new()).await;
    let Some(FlowError::Refused(fault)) = &report.flows[0].error else { panic!("{:?}", report.flows[0].error) };
    assert_eq!(fault.message, "Unable to find additional include ../nope");
    assert_eq!(report.flows[1].verdict(), Verdict::Passed);
    assert_eq!(report.exit_reason(), ExitReason::Environment);
}

#[tokio::test]
async fn lines_of_one_flow_run_at_the_same_time_but_no_more_than_asked() {
    let folder = flow();
    let (opened, closed) = (std::sync::Arc::new(AtomicUsize::new(0)), std::sync::Arc::new(AtomicUsize::new(0)));
    let (opens, ends) = (opened.clone(), closed.clone());
    let backend = Scripted::new(move |_, _, request| {
        match request {
            Request::Open { .. } => drop(opens.fetch_add(1, Ordering::SeqCst)),
            Request::Close => drop(ends.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        vec![Reply::Usual]
    });
    let (report, _) = run(&backend, case(&folder, 20), &options(HOUR, 3), &Cancel::new()).await;
    assert_eq!(report.verdict(), Verdict::Passed);
    assert_eq!(opened.load(Ordering::SeqCst), 3);
    assert_eq!(closed.load(Ordering::SeqCst), 3);
}
