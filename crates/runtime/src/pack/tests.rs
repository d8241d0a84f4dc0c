use std::sync::atomic::{AtomicUsize, Ordering};

use flowgate_flow::load::{Disk, load_project};

use super::*;

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Self(std::env::temp_dir().join(format!("flowgate-pack-{}-{count}", std::process::id())));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn pack(&self, boundary: Option<&str>) -> Result<Vec<u8>, FlowError> {
        let project = load_project(&Disk, &self.0.join("flow/flow.dag.yaml"));
        let boundary = boundary.map(|path| Within::new(&self.0.join(path), "the repository").unwrap());
        pack(&project, boundary.as_ref())
    }

    fn names(&self, boundary: Option<&str>) -> Vec<String> {
        contents(&self.pack(boundary).unwrap()).into_iter().map(|(name, _)| name).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn contents(archive: &[u8]) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap()), (0, 0));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), text)
    });
    entries.collect()
}

fn fault(error: FlowError) -> Fault {
    match error {
        FlowError::Refused(fault) => fault,
        FlowError::Runtime(error) => panic!("{error}"),
    }
}

#[test]
fn includes_stand_under_their_base_name_and_win() {
    let folder = Folder::new(&[
        ("flow/flow.dag.yaml", "additional_includes: [../shared/lib, ../a/util.py, ../b/util.py]\n"),
        ("flow/util.py", "own"),
        ("flow/lib/kept.py", "own"),
        ("flow/lib/x.py", "own"),
        ("shared/lib/x.py", "shared"),
        ("shared/lib/deep/y.py", "shared"),
        ("a/util.py", "a"),
        ("b/util.py", "b"),
    ]);
    let packed = folder.pack(Some(".")).unwrap();
    let text = |name: &str| contents(&packed).into_iter().find(|(n, _)| n == name).map(|(_, text)| text).unwrap();
    assert_eq!(text("util.py"), "b");
    assert_eq!(text("lib/x.py"), "shared");
    assert_eq!(text("lib/deep/y.py"), "shared");
    assert_eq!(text("lib/kept.py"), "own");
    assert_eq!(packed, folder.pack(Some(".")).unwrap());
}

#[test]
fn what_tools_leave_behind_stays_here() {
    let folder = Folder::new(&[
        ("flow/flow.dag.yaml", "inputs: {}\n"),
        ("flow/a.py", ""),
        ("flow/.git/config", ""),
        ("flow/__pycache__/a.pyc", ""),
        ("flow/.runs/x", ""),
        ("flow/env/pyvenv.cfg", ""),
        ("flow/env/lib/big", ""),
        ("flow/node_modules/x/index.js", ""),
        ("flow/.env", ""),
    ]);
    assert_eq!(folder.names(None), [".env", "a.py", "flow.dag.yaml"]);
}

#[test]
fn a_missing_include_is_refused_in_the_words_of_the_sdk() {
    let folder = Folder::new(&[("flow/flow.dag.yaml", "additional_includes: [../nope.py]\n")]);
    let refused = fault(folder.pack(Some(".")).unwrap_err());
    assert_eq!(
        (refused.r#type.as_str(), refused.message.as_str()),
        ("UserErrorException", "Unable to find additional include ../nope.py")
    );
    folder.write("flow/flow.dag.yaml", "additional_includes: [../lib.zip]\n");
    folder.write("lib/x.py", "");
    assert!(fault(folder.pack(Some(".")).unwrap_err()).message.contains("include the folder itself"));
}

#[test]
fn includes_over_the_boundary_are_refused() {
    let folder =
        Folder::new(&[("flow/flow.dag.yaml", "additional_includes: [../secret.txt]\n"), ("secret.txt", "key")]);
    let refused = fault(folder.pack(None).unwrap_err());
    assert_eq!(refused.r#type, "OutsideBoundary");
    assert!(refused.message.contains("secret.txt"));
    assert_eq!(folder.names(Some(".")), ["flow.dag.yaml", "secret.txt"]);
}

#[test]
fn too_much_is_refused_and_the_largest_file_is_named() {
    let folder = Folder::new(&[
        ("flow/flow.dag.yaml", "inputs: {}\n"),
        ("flow/data/big.bin", &"x".repeat(3000)),
        ("flow/small", "y"),
    ]);
    let project = load_project(&Disk, &folder.0.join("flow/flow.dag.yaml"));
    let refused = fault(pack_within(&project, None, 2000).unwrap_err());
    assert_eq!(refused.r#type, "FlowTooLarge");
    assert!(refused.message.contains("`data/big.bin`"), "{}", refused.message);
}

#[cfg(unix)]
#[test]
fn links_are_followed_within_the_boundary_only() {
    use std::os::unix::fs::symlink;
    let folder =
        Folder::new(&[("flow/flow.dag.yaml", "inputs: {}\n"), ("shared/util.py", "shared"), ("shared/sub/x", "x")]);
    let flow = folder.0.join("flow");
    symlink("../shared/util.py", flow.join("util.py")).unwrap();
    symlink("../shared", flow.join("all")).unwrap();
    symlink("..", flow.join("circle")).unwrap();
    symlink("nowhere", flow.join("dangling")).unwrap();
    let names = folder.names(Some("."));
    for name in ["util.py", "all/util.py", "all/sub/x"] {
        assert!(names.iter().any(|n| n == name), "{name} of {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("dangling") || name.contains("circle/flow")), "{names:?}");
    assert_eq!(fault(folder.pack(Some("flow")).unwrap_err()).r#type, "OutsideBoundary");
}

#[test]
fn what_git_keeps_does_not_travel_and_what_is_outside_is_refused_unseen() {
    let folder = Folder::new(&[(".git/config", "token"), ("flow/.git/config", "token")]);
    for (include, refusal) in [
        ("../.git/config", Some("OutsideBoundary")),
        ("../../gone.txt", Some("OutsideBoundary")),
        ("../gone.txt", Some("UserErrorException")),
        ("../more.txt", None),
    ] {
        folder.write("flow/flow.dag.yaml", &format!("additional_includes: [{include}]\n"));
        folder.write("more.txt", "");
        match (folder.pack(Some(".")), refusal) {
            (Ok(_), None) => assert_eq!(folder.names(Some(".")), ["flow.dag.yaml", "more.txt"]),
            (packed, refusal) => {
                let refused = packed.err().map(|error| fault(error).r#type);
                assert_eq!(refused.as_deref(), refusal, "{include}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_neither_blocks_nor_travels() {
    let folder = Folder::new(&[("flow/flow.dag.yaml", "inputs: {}\n")]);
    let made = std::process::Command::new("mkfifo").arg(folder.0.join("flow/pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(folder.names(None), ["flow.dag.yaml"]);
}

#[test]
fn long_and_foreign_names_travel() {
    let long = format!("flow/{}/{}.py", "d".repeat(120), "f".repeat(120));
    let folder = Folder::new(&[("flow/flow.dag.yaml", "inputs: {}\n"), (&long, "x"), ("flow/größe 漢字.txt", "y")]);
    let names = folder.names(None);
    assert!(
        names.contains(&long["flow/".len()..].to_owned()) && names.contains(&"größe 漢字.txt".to_owned()),
        "{names:?}"
    );
}
