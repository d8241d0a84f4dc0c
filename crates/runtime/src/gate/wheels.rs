//! Which wheels of a page nobody can use who asks for it.
//!
//! A page of the public index names up to fifteen thousand files, most of them for other Pythons, systems and processors.
//! To carry those into a build, and to have them read there, costs more than to resolve what is left.

use std::collections::HashSet;

use serde::Deserialize;

/// A 64-bit CPython on Linux, in the words of wheels' names (PEP 425, PEP 600, PEP 656).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    /// Its interface for binaries: `cp311`.
    abi: String,
    /// Its processor: `x86_64`.
    machine: String,
}

impl Target {
    /// Whether that wheel is for others, for certain.
    fn is_foreign(&self, wheel: &str) -> bool {
        let mut tags = wheel.rsplit('-');
        let (Some(platform), Some(abi)) = (tags.next(), tags.next()) else { return false };
        let on_this = |tag: &str| {
            let machine = tag.strip_suffix(self.machine.as_str()).and_then(|tag| tag.strip_suffix('_'));
            tag == "any" || machine.is_some_and(|system| system.contains("linux"))
        };
        // Those of a debug build or without the global lock (`cp313t`) begin in the same way, and are left to the installer.
        let of_this = |tag: &str| {
            tag.starts_with(&self.abi) || !["cp", "pypy", "graalpy"].iter().any(|python| tag.starts_with(python))
        };
        !platform.split('.').any(on_this) || !abi.split('.').any(of_this)
    }
}

/// Leaves out the wheels for others, of each version that has one for the target. Of versions without one all stay: an
/// installer reads what they require, and tells by them what there is in place of what was wanted.
pub(super) fn usable<T>(mut files: Vec<T>, name: impl Fn(&T) -> &str, target: Option<&Target>) -> Vec<T> {
    let Some(target) = target else { return files };
    // The version of a wheel, and whether it is for others.
    let wheels = files.iter().map(|file| {
        let wheel = name(file).strip_suffix(".whl")?;
        Some((wheel.split('-').nth(1)?, target.is_foreign(wheel)))
    });
    let wheels: Vec<Option<(&str, bool)>> = wheels.collect();
    let met: HashSet<&str> =
        wheels.iter().flatten().filter(|(_, foreign)| !foreign).map(|(version, _)| *version).collect();
    let of_use =
        |wheel: &Option<(&str, bool)>| !wheel.is_some_and(|(version, foreign)| foreign && met.contains(version));
    let kept: Vec<bool> = wheels.iter().map(of_use).collect();
    let mut kept = kept.into_iter();
    files.retain(|_| kept.next().unwrap_or(true));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { abi: "cp311".to_owned(), machine: "x86_64".to_owned() }
    }

    #[test]
    fn what_is_for_others_is_known_by_its_name() {
        for (wheel, foreign) in [
            ("a-1-py3-none-any", false),
            ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", false),
            ("a-1-2-cp311-cp311-musllinux_1_1_x86_64", false),
            ("a-1-cp37-abi3-linux_x86_64", false),
            ("a-1-cp311-cp311d-linux_x86_64", false),
            ("a-1-py2.py3-none-win32.any", false),
            ("a-1-cp310.cp311-cp310.cp311-manylinux1_x86_64", false),
            // Whether Python itself is new enough is for the installer to say.
            ("a-1-cp312-abi3-manylinux_2_28_x86_64", false),
            ("a", false),
            ("a-1-cp311-cp311-win_amd64", true),
            ("a-1-cp311-cp311-macosx_11_0_x86_64", true),
            ("a-1-cp311-cp311-manylinux_2_17_aarch64", true),
            ("a-1-cp310-cp310-manylinux_2_17_x86_64", true),
            ("a-1-pp39-pypy39_pp73-manylinux_2_17_x86_64", true),
            ("a-1-py3-none-win_amd64", true),
        ] {
            assert_eq!(target().is_foreign(wheel), foreign, "{wheel}");
        }
    }

    #[test]
    fn a_version_keeps_what_tells_of_it() {
        let files = [
            "a-1-cp310-cp310-linux_x86_64.whl",
            "a-1-cp311-cp311-win_amd64.whl",
            "a-1.tar.gz",
            "a-2-cp310-cp310-linux_x86_64.whl",
            "a-2-cp311-cp311-linux_x86_64.whl",
            "a-2.tar.gz",
        ];
        let left = usable(files.to_vec(), |name| name, Some(&target()));
        assert_eq!(left, [&files[..3], &files[4..]].concat());
        assert_eq!(usable(files.to_vec(), |name| name, None), files);
    }
}
