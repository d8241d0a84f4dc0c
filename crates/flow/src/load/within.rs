//! The disk, as far as one folder: for untrusted files.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Disk, FileSystem, names};
use crate::include::lexical;

/// More links on one path are taken for a circle, as Linux does (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// The disk without what lies outside of a folder: links are followed here, one by one, and a path that leaves the
/// folder is refused before anything outside is asked for, so that not even its existence shows. So is what git keeps
/// for itself: a checkout leaves its token in `.git/config`.
#[derive(Debug, Clone)]
pub struct Within {
    /// As it was named.
    named: PathBuf,
    /// Without links.
    real: PathBuf,
}

impl Within {
    /// Everything below `root` can be read.
    ///
    /// # Errors
    /// The operating system's, where `root` is not there.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { named: lexical(root), real: root.canonicalize()? })
    }

    /// The folder, as it was named.
    pub fn root(&self) -> &Path {
        &self.named
    }

    /// The path without links; `None` where it leaves the folder.
    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut rest = self.below(path)?;
        let mut real = self.real.clone();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name.eq_ignore_ascii_case(".git") {
                return None;
            }
            real.push(name);
            let Ok(target) = real.read_link() else { continue };
            links += 1;
            real.pop();
            let mut followed = self.below(&real.join(target)).filter(|_| links <= MAX_LINKS)?;
            followed.append(&mut rest);
            rest = followed;
            real.clone_from(&self.real);
        }
        Some(real)
    }

    /// The names that lead from the folder to a path.
    fn below(&self, path: &Path) -> Option<VecDeque<OsString>> {
        let path = lexical(path);
        let rest = path.strip_prefix(&self.named).or_else(|_| path.strip_prefix(&self.real)).ok()?;
        let normal = |part| if let Component::Normal(name) = part { Some(OsStr::to_owned(name)) } else { None };
        rest.components().map(normal).collect()
    }

    fn refused(&self) -> io::Error {
        io::Error::other(format!("it does not lie in {}, and nothing else is read", self.named.display()))
    }
}

impl FileSystem for Within {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        Disk.read(&self.resolve(path).ok_or_else(|| self.refused())?, limit)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>> {
        let folder = self.resolve(folder).ok_or_else(|| self.refused())?;
        // What must not be looked at is there, whether it is or not.
        names(&folder, |link| self.resolve(link).map_or(Some(false), |real| Some(real.metadata().ok()?.is_dir())))
    }

    fn identity(&self, path: &Path) -> PathBuf {
        self.resolve(path).unwrap_or_else(|| lexical(path))
    }

    fn reaches(&self, path: &Path) -> bool {
        self.resolve(path).is_some()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::load::load_project;

    /// A folder of its own; `repo` is what may be read, `secret` lies beside it.
    struct Temp(PathBuf);

    impl Temp {
        #[expect(clippy::unwrap_used, reason = "a test's own folder")]
        fn new() -> Self {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("flowgate-within-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let temp = Self(std::env::temp_dir().join(name));
            for (name, text) in [("repo/a/x", "own"), ("repo/.git/config", "SECRET"), ("outside/secret", "SECRET")] {
                fs::create_dir_all(temp.at(name).parent().unwrap()).unwrap();
                fs::write(temp.at(name), text).unwrap();
            }
            temp
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_stays_inside_is_read() {
        let temp = Temp::new();
        symlink("a", temp.at("repo/link")).unwrap();
        symlink(temp.at("repo/link/x"), temp.at("repo/again")).unwrap();
        symlink("repo", temp.at("checkout")).unwrap();
        for root in ["repo", "checkout"] {
            let fs = Within::new(&temp.at(root)).unwrap();
            for path in ["a/x", "a/../a/./x", "link/x", "../repo/a/x"] {
                assert_eq!(fs.read(&temp.at(root).join(path), 9).unwrap(), b"own", "{root} {path}");
            }
            let names = fs.list(&temp.at(root)).unwrap();
            let names: Vec<_> = names.iter().map(|(name, folder)| (name.as_str(), *folder)).collect();
            assert_eq!(names, [(".git", true), ("a", true), ("again", false), ("link", true)]);
            assert_eq!(fs.identity(&temp.at(root).join("link/x")), temp.at("repo/a/x").canonicalize().unwrap());
        }
        let fs = Within::new(&temp.at("repo")).unwrap();
        assert_eq!(fs.read(&temp.at("repo/again"), 9).unwrap(), b"own");
        assert_eq!(fs.read(&temp.at("repo/a/y"), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_leaves_is_refused_alike_whether_it_is_there_or_not() {
        let temp = Temp::new();
        let repo = temp.at("repo");
        symlink("../outside", repo.join("folder")).unwrap();
        symlink(temp.at("outside/secret"), repo.join("there")).unwrap();
        symlink(temp.at("outside/nothing"), repo.join("gone")).unwrap();
        symlink("there", repo.join("chain")).unwrap();
        symlink(".git/config", repo.join("token")).unwrap();
        symlink("circle", repo.join("circle")).unwrap();
        let fs = Within::new(&repo).unwrap();
        let refused = fs.refused().to_string();
        for path in [
            "there",
            "gone",
            "chain",
            "token",
            "circle",
            "circle/x",
            "folder/secret",
            "folder/nothing",
            "folder/no/thing",
            ".git/config",
            ".GIT/config",
            "a/.git/HEAD",
            "../outside/secret",
            "../outside/nothing",
            "/etc/passwd",
            "/nothing",
        ] {
            let at = repo.join(path);
            assert_eq!(fs.read(&at, 9).unwrap_err().to_string(), refused, "{path}");
            assert_eq!(fs.list(&at).unwrap_err().to_string(), refused, "{path}");
            assert!(!fs.reaches(&at), "{path}");
        }
        let names = fs.list(&repo).unwrap();
        for link in ["there", "gone", "chain", "token", "circle", "folder"] {
            assert!(names.contains(&(link.to_owned(), false)), "{link}: {names:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever links and paths a flow holds, no text from outside comes in.
        #[test]
        fn nothing_comes_in_from_outside(
            links in proptest::collection::vec(("[ab]/[lmn]|[lmn]", path()), 0..6),
            named in proptest::collection::vec(path(), 5),
        ) {
            let temp = Temp::new();
            fs::create_dir_all(temp.at("repo/b")).unwrap();
            let rooted = |path: &str| path.replace("/TEMP", temp.0.to_str().unwrap());
            for (name, target) in &links {
                let _ = symlink(rooted(target), temp.at("repo").join(name));
            }
            let named: Vec<String> = named.iter().map(|path| rooted(path)).collect();
            let [requirements, python, template, include, nested] = &named[..] else { unreachable!() };
            fs::write(temp.at("repo/requirements.txt"), format!("-r {nested}\n")).unwrap();
            fs::write(temp.at("repo/flow.dag.yaml"), format!(
                "environment: {{python_requirements_txt: '{requirements}'}}\nadditional_includes: ['{include}']\nnodes:\n\
                 - {{name: p, type: python, source: {{type: code, path: '{python}'}}}}\n\
                 - {{name: t, type: prompt, source: {{type: code, path: '{template}'}}}}\n",
            )).unwrap();
            let project = load_project(&Within::new(&temp.at("repo")).unwrap(), &temp.at("repo/flow.dag.yaml"));
            for file in &project.files {
                prop_assert!(!file.text.contains("SECRET"), "{:?}: {links:?}", file.path);
            }
        }
    }

    fn path() -> impl Strategy<Value = String> {
        const LEADING_OUT: [&str; 5] =
            ["/TEMP/outside/secret", "../outside/secret", "/TEMP/outside", "../../outside", ".git/config"];
        prop_oneof![
            "(/TEMP/repo/|\\.\\./|)((a|b|l|m|n|\\.\\.|repo)/){0,3}(x|l|m|n|secret|config|requirements\\.txt)",
            proptest::sample::select(&LEADING_OUT[..]).prop_map(str::to_owned),
        ]
    }
}
