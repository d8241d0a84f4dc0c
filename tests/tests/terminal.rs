//! What a person sees on a terminal: `script` gives flowgate a real one.
#![cfg(unix)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use flowgate_tests::{Folder, flowgate, flows, index, skip};

#[test]
fn one_moving_line_that_leaves_nothing_when_it_is_interrupted() {
    let Some(script) = index::find("script") else { return skip("there is no `script` of util-linux") };
    let folder = Folder::new("terminal");
    // A name that would clear the screen.
    flows::python(&folder, "a\u{1b}[2Jb", "", "return text");
    // A Python whose virtual environment is never made.
    folder.write(
        "python",
        "#!/bin/sh\ncase \"$*\" in\n*venv*) exec sleep 100000;;\n*) echo 3 11 3.11.2 cpython x86_64 linux /usr;;\nesac\n",
    );
    let python = folder.path().join("python");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let line = format!("stty cols 60; {} run --backend process .", flowgate().display());
    let mut command = Command::new(script);
    command.args(["-qefc", &line, "/dev/null"]).current_dir(folder.path());
    command.env("TERM", "xterm").env("PATH", "/usr/bin:/bin").env("FLOWGATE_PYTHON", &python);
    command.env("FLOWGATE_CACHE_DIR", folder.path().join("cache")).env_remove("NO_COLOR");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
    let mut keyboard = child.stdin.take().expect("its input");
    let mut screen = child.stdout.take().expect("its output");
    let (mut seen, mut part, mut pressed) = (Vec::new(), [0; 4096], false);
    while let Ok(count @ 1..) = screen.read(&mut part) {
        seen.extend_from_slice(&part[..count]);
        if !pressed && String::from_utf8_lossy(&seen).contains("making a virtual environment") {
            keyboard.write_all(b"\x03").expect("Ctrl-C");
            pressed = true;
        }
    }
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{seen:?}");
    assert!(!seen.contains("\u{1b}[2J"), "{seen:?}");
    let (_, after) = seen.rsplit_once("making a virtual environment").expect("the moving line");
    let (drawn, left) = after.rsplit_once("\u{1b}[2K").expect("the line is erased");
    assert!(!drawn.contains('\n') && left.contains("cancelled"), "{seen:?}");
}
