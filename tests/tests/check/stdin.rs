//! `flowgate check --stdin-filename`: a text in the place of a file.

use std::io::Write;
use std::process::Stdio;

use flowgate_tests::{Finished, Folder, command};

/// A flow whose file on the disk is whole, with the requirements and the tool that it names.
fn folder() -> Folder {
    let flow = "inputs: {a: {type: int}}\nenvironment: {python_requirements_txt: r.txt}\n";
    Folder::with("stdin", &[("f/flow.dag.yaml", flow), ("f/r.txt", "promptflow==1.18.5\n")])
}

fn check(folder: &Folder, arguments: &[&str], text: &[u8]) -> Finished {
    let mut command = command(folder.path(), &[&["check"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("flowgate starts");
    let mut stdin = child.stdin.take().expect("standard input");
    // It may end before it has read everything, for example where it is used wrongly.
    let _ = stdin.write_all(text);
    drop(stdin);
    Finished::of(child.wait_with_output().expect("flowgate ends"))
}

const TEXT: &[u8] = b"inputs: {a: {type: Int}}\nenvironment: {python_requirements_txt: r.txt}\n";

#[test]
fn a_text_stands_for_its_file_and_siblings_come_from_the_disk() {
    let folder = folder();
    let done = check(&folder, &["--stdin-filename", "f/flow.dag.yaml"], TEXT);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stdout.contains("--> f/flow.dag.yaml:1:20"), "{}", done.stdout);
    assert!(done.stdout.contains("1 flow checked: 1 error, 1 warning\n"), "{}", done.stdout);
    // A file that is not there yet, and a requirements file with the flow that names it.
    let new = check(&folder, &["--stdin-filename", "g/flow.dag.yaml"], TEXT);
    assert!(new.stdout.contains("requirements-path-not-found"), "{}", new.stdout);
    let owned = check(&folder, &["--stdin-filename", "f/r.txt"], b"promptflow\n");
    assert_eq!((owned.code, owned.stdout.as_str()), (Some(0), "1 flow checked: nothing found\n"));
}

#[test]
fn the_fixed_text_is_printed_and_no_file_is_written() {
    let folder = folder();
    let done = check(&folder, &["--fix", "--stdin-filename", "f/flow.dag.yaml"], TEXT);
    assert_eq!(done.stdout, "inputs: {a: {type: int}}\nenvironment: {python_requirements_txt: r.txt}\n");
    assert!(done.stderr.contains("fixed f/flow.dag.yaml:1: write `int` [invalid-type-name]"), "{}", done.stderr);
    // Only the text on standard input is fixed.
    assert!(done.stderr.contains("1 flow checked: 1 warning\n") && done.code == Some(0), "{}", done.stderr);
    assert_eq!(std::fs::read_to_string(folder.path().join("f/r.txt")).expect("a file"), "promptflow==1.18.5\n");

    let diff = check(&folder, &["--diff", "--stdin-filename", "f/flow.dag.yaml"], TEXT);
    assert!(
        diff.stdout.starts_with("--- f/flow.dag.yaml\n") && !diff.stdout.contains("promptflow=="),
        "{}",
        diff.stdout
    );
    assert_eq!(diff.code, Some(3));
}

#[test]
fn what_cannot_be_fixed_comes_back_byte_for_byte() {
    for text in [&b"\xff\xfe not text"[..], b"", b"inputs: [\r\n"] {
        let done = command_output(text);
        assert_eq!(done.stdout, text);
    }
}

fn command_output(text: &[u8]) -> std::process::Output {
    let folder = folder();
    folder.write("text", text);
    let input = std::fs::File::open(folder.path().join("text")).expect("a file");
    let mut command = command(folder.path(), &["check", "--fix", "--stdin-filename", "f/flow.dag.yaml"]);
    command.stdin(input).output().expect("flowgate starts")
}

#[test]
fn it_is_one_file_that_flowgate_reads() {
    let folder = folder();
    for (arguments, message) in [
        (&["--stdin-filename", "f/flow.dag.yaml", "f"][..], "cannot be used with"),
        (&["--stdin-filename", "f/a.py"], "f/a.py: not a flow, a file beside flows, a requirements file or a folder"),
    ] {
        let done = check(&folder, arguments, TEXT);
        assert_eq!(done.code, Some(2), "{arguments:?}");
        assert!(done.stderr.contains(message), "{}", done.stderr);
    }
    let long = check(&folder, &["--stdin-filename", "f/flow.dag.yaml", "--fix"], &b"inputs: {}\n".repeat(500_000));
    assert_eq!((long.code, long.stdout.as_str()), (Some(2), ""));
    assert!(long.stderr.contains("standard input is longer than 4 MiB"), "{}", long.stderr);
}
