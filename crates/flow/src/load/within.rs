//! The disk, as far as the files that flowgate was asked to look at: flows are untrusted.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::disk::names;
use super::{Disk, Entry, FileSystem};
use crate::include::lexical;

/// More links on one path are taken for a circle, as Linux does (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// The disk without what is outside some folders: links are followed here, one by one, and a path that leaves the
/// folders is refused before anything outside is asked for, so that not even its existence shows. So is what git keeps
/// for itself: a checkout leaves its token in `.git/config`.
#[derive(Debug, Clone, Default)]
pub struct Within {
    roots: Vec<Root>,
    /// What the roots are, for messages.
    name: String,
    /// Whether the user's own configuration may be above the roots.
    configured_above: bool,
    /// Where the folders that were asked for lead, by their paths as they were asked for; `None` is nowhere. Every file
    /// of a flow asks for one of the same few.
    folders: Arc<RwLock<HashMap<OsString, Option<Position>>>>,
}

#[derive(Debug, Clone)]
struct Root {
    /// As it was named, without `.` and `..`.
    named: PathBuf,
    /// Without links.
    real: PathBuf,
}

impl Within {
    /// Everything below `root` can be read, and nothing else. Messages call it by that name.
    ///
    /// # Errors
    /// The operating system's, where `root` is not there.
    pub fn new(root: &Path, name: &str) -> io::Result<Self> {
        let root = Root { named: lexical(root), real: root.canonicalize()? };
        Ok(Self { roots: vec![root], name: name.to_owned(), ..Self::default() })
    }

    /// What may be read for the absolute paths that a user names: those themselves, be they links, and all of the
    /// repositories that they are in; of a file in no repository, its folder. A `flowgate.yaml` above them is the
    /// user's own.
    pub fn of_named<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut within = Self { configured_above: true, ..Self::default() };
        for path in paths {
            within.add(path);
        }
        within
    }

    fn add(&mut self, path: &Path) {
        let folder = lexical(if path.is_dir() { path } else { path.parent().unwrap_or(path) });
        // An editor may have a file open whose folder is not there yet.
        let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else { return };
        let Ok(real) = there.canonicalize() else { return };
        let real = folder.strip_prefix(there).map_or_else(|_| real.clone(), |rest| lexical(&real.join(rest)));
        if self.resolve(&folder).is_none() {
            let repository = real.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
            let name = match repository {
                Some(_) => "the repository".to_owned(),
                None => format!("the folder `{}`", real.file_name().unwrap_or(real.as_os_str()).to_string_lossy()),
            };
            self.name = if self.name.is_empty() || self.name == name { name } else { "what was named".to_owned() };
            self.roots.extend(repository.map(|root| Root { named: root.to_owned(), real: root.to_owned() }));
            if repository.is_none() || folder != real {
                self.roots.push(Root { named: folder, real: real.clone() });
            }
        }
        // What a new root lets in was refused before.
        self.folders = Arc::default();
        // A link that leads elsewhere, and that the user named.
        if self.resolve(path).is_none()
            && let Ok(real) = path.canonicalize()
        {
            self.roots.push(Root { named: lexical(path), real });
            self.folders = Arc::default();
        }
    }

    /// The path without links; `None` where it leaves the folders.
    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let at = self.step(path)?;
        at.inside.then_some(at.path)
    }

    /// Where a folder leads, inside or not; `None` is nowhere.
    fn folder(&self, path: &Path) -> Option<Position> {
        if let Some(known) = self.folders.read().unwrap_or_else(PoisonError::into_inner).get(path.as_os_str()) {
            return known.clone();
        }
        let found = self.step(path);
        self.folders.write().unwrap_or_else(PoisonError::into_inner).insert(path.into(), found.clone());
        found
    }

    /// The last part of a path, from where its folder leads.
    fn step(&self, path: &Path) -> Option<Position> {
        let mut at = path.parent().map_or(Some(Position::default()), |folder| self.folder(folder))?;
        if let Some(part) = path.components().next_back() {
            self.follow(&mut at, part)?;
        }
        Some(at)
    }

    fn follow(&self, at: &mut Position, part: Component<'_>) -> Option<()> {
        match part {
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir => {
                at.path.push(part);
                at.inside = self.holds(&at.path);
            }
            Component::ParentDir => {
                at.path.pop();
                at.inside = self.holds(&at.path);
            }
            Component::Normal(name) => self.enter(at, name)?,
        }
        Some(())
    }

    fn enter(&self, at: &mut Position, name: &OsStr) -> Option<()> {
        at.path.push(name);
        let is = |path: &Path| path.as_os_str() == at.path.as_os_str();
        if let Some(root) = self.roots.iter().find(|root| is(&root.named) || is(&root.real)) {
            at.path.clone_from(&root.real);
            at.inside = true;
            return Some(());
        }
        // Nothing is asked of what is outside.
        if !at.inside {
            return Some(());
        }
        if is_of_git(name) {
            return None;
        }
        let Ok(target) = fs::read_link(&at.path) else { return Some(()) };
        at.links += 1;
        if at.links > MAX_LINKS {
            return None;
        }
        at.path.pop();
        target.components().try_fold((), |(), part| self.follow(at, part))
    }

    fn holds(&self, real: &Path) -> bool {
        self.roots.iter().any(|root| real.starts_with(&root.real))
    }

    fn refused(&self) -> io::Error {
        io::Error::other(format!("it is outside {}, and nothing outside is read", self.name))
    }
}

/// How far a path was followed.
#[derive(Debug, Clone, Default)]
struct Position {
    /// Without links where it is inside.
    path: PathBuf,
    inside: bool,
    links: usize,
}

fn is_of_git(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case(".git")
}

impl FileSystem for Within {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        Disk.read(&self.resolve(path).ok_or_else(|| self.refused())?, limit)
    }

    fn read_configuration(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let folder = path.parent().unwrap_or(path);
        let is_above = |root: &Root| root.named.starts_with(folder) || root.real.starts_with(folder);
        if self.resolve(folder).is_some() {
            self.read(path, limit)
        } else if self.configured_above && self.roots.iter().any(is_above) {
            Disk.read(path, limit)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Entry)>> {
        let folder = self.folder(folder).filter(|at| at.inside).ok_or_else(|| self.refused())?.path;
        // What must not be looked at is there, whether it is or not.
        let mut names = names(&folder, |link| match self.resolve(link) {
            Some(real) => Some(super::disk::entry(real.symlink_metadata().ok()?.file_type())),
            None => Some(Entry::Outside),
        })?;
        for (name, entry) in &mut names {
            if is_of_git(OsStr::new(name)) {
                *entry = Entry::Outside;
            }
        }
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        self.resolve(path).unwrap_or_else(|| lexical(path))
    }

    fn reaches(&self, path: &Path) -> bool {
        self.resolve(path).is_some()
    }

    fn boundary(&self) -> &str {
        &self.name
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
            let fs = Within::new(&temp.at(root), "x").unwrap();
            for path in ["a/x", "a/../a/./x", "link/x", "../repo/a/x"] {
                assert_eq!(fs.read(&temp.at(root).join(path), 9).unwrap(), b"own", "{root} {path}");
            }
            let names = fs.list(&temp.at(root)).unwrap();
            let names: Vec<_> = names.iter().map(|(name, entry)| (name.as_str(), *entry)).collect();
            let (file, folder) = (Entry::File, Entry::Folder);
            assert_eq!(names, [(".git", Entry::Outside), ("a", folder), ("again", file), ("link", folder)]);
            assert_eq!(fs.identity(&temp.at(root).join("link/x")), temp.at("repo/a/x").canonicalize().unwrap());
        }
        let fs = Within::new(&temp.at("repo"), "x").unwrap();
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
        let fs = Within::new(&repo, "x").unwrap();
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
            assert!(names.contains(&(link.to_owned(), Entry::Outside)), "{link}: {names:?}");
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
            let project = load_project(&Within::new(&temp.at("repo"), "x").unwrap(), &temp.at("repo/flow.dag.yaml"));
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
