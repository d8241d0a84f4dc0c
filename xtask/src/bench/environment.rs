//! `cargo xtask bench environment`: what an environment costs, against `docker build` of the equivalent Dockerfile.
//!
//! Needs an engine that has flowgate's base image (`cargo xtask testbed`), and root, and reaches the public package index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flowgate_runtime::environment::base;

use super::measure::{median, succeeded};
use super::page::Page;
use crate::command::{Result, at, binary, cargo, output, remove, run, say};
use crate::testbed;

/// Runs per figure where packages are fetched and installed: each of the three is as often the first, the second and
/// the last of a round.
const BUILDS: usize = 9;
/// Runs per figure where there is nothing to do.
const LOOKS: usize = 21;
/// What a flow that searches documents asks for.
const REQUIREMENTS: &str = "openai\ntiktoken\npandas\nnumpy\nscikit-learn\nbeautifulsoup4\nfaiss-cpu\npypdf\n";
const FLOW: &str = "\
inputs:
  text:
    type: string
    default: words
outputs:
  text:
    type: string
    reference: ${inputs.text}
nodes: []
environment:
  python_requirements_txt: requirements.txt
";
const TAG: &str = "flowgate-bench";
/// How long the engine may take to remove the container of a build.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Measures and writes `docs/benchmarks-environment.md`.
///
/// # Errors
/// Something could not be built, run or written.
pub(crate) fn all() -> Result<()> {
    testbed::make()?;
    run(&mut cargo(&["build", "--quiet", "--release", "-p", "flowgate"]))?;
    super::write("docs/benchmarks-environment.md", |folder| {
        let place = Place::new(folder)?;
        let measured = measured(&place);
        let forgotten = place.forget();
        // Why it could not be measured says more than what could not be removed after it.
        measured.and_then(|text| forgotten.map(|()| text))
    })
}

fn measured(place: &Place) -> Result<String> {
    let builder = place.builder()?;
    let (mut cold, mut warm, mut docker) = (Vec::new(), Vec::new(), Vec::new());
    place.build(&place.full_cache())?;
    for number in 0..BUILDS {
        say(&format!("bench: cold and warm builds, {} of {BUILDS}", number + 1));
        for turn in 0..3 {
            let cache = place.folder.join("empty");
            remove(&cache)?;
            place.forget()?;
            place.refresh()?;
            match (number + turn) % 3 {
                0 => cold.push(place.build(&cache)?),
                1 => warm.push(place.build(&place.full_cache())?),
                _ => docker.push(succeeded(&mut place.docker_build(&builder, &["--no-cache"]))?),
            }
        }
    }
    say("bench: builds of what is there");
    let (mut again, mut cached) = (Vec::new(), Vec::new());
    place.build(&place.full_cache())?;
    succeeded(&mut place.docker_build(&builder, &[]))?;
    for _ in 0..LOOKS {
        again.push(place.build(&place.full_cache())?);
        cached.push(succeeded(&mut place.docker_build(&builder, &[]))?);
    }
    let mut page = Page::new("Benchmarks: environments", LOOKS);
    page.environment(
        builder.name,
        REQUIREMENTS,
        [median(docker), median(cold), median(warm)],
        [median(cached), median(again)],
        BUILDS,
    );
    page.text(
        "One run of `cargo xtask bench environment`. What counts are the ratios: both sides of each come from the same run, \
         turn by turn,\non the same engine.",
    )
}

/// A way to start `docker build`.
struct Builder {
    name: &'static str,
    program: PathBuf,
    buildkit: bool,
}

/// A flow, the equivalent Dockerfile, and a cache of their own.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(folder: &Path) -> Result<Self> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(at(parent))?;
            }
            fs::write(&path, bytes).map_err(at(&path))
        };
        write("flow/flow.dag.yaml", FLOW.as_bytes())?;
        write("flow/requirements.txt", REQUIREMENTS.as_bytes())?;
        write("docker/requirements.txt", REQUIREMENTS.as_bytes())?;
        // The same installer with the same words; and the machine's own certificates, as flowgate uses them.
        let (certificates, trust) = match std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) {
            Some(file) => (fs::read(&file).map_err(at(&file))?, "SSL_CERT_FILE=/tmp/build/certificates "),
            None => (Vec::new(), ""),
        };
        write("docker/certificates", &certificates)?;
        let from = base::image_name(base::DEFAULT_PYTHON);
        let dockerfile = format!(
            "FROM {from}\nUSER root\nCOPY requirements.txt certificates /tmp/build/\nRUN {trust}UV_LINK_MODE=hardlink uv pip \
             install --no-cache --compile-bytecode --index-strategy unsafe-best-match --system --break-system-packages \
             -r /tmp/build/requirements.txt\nUSER {}\n",
            base::USER
        );
        write("docker/Dockerfile", dockerfile.as_bytes())?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A cache that has every file once something was built with it.
    fn full_cache(&self) -> PathBuf {
        self.folder.join("full")
    }

    fn flowgate(&self, cache: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(binary("release", "flowgate"));
        command.args(words).current_dir(&self.folder).env("FLOWGATE_CACHE_DIR", cache);
        command
    }

    /// The wall time of `flowgate environment build`, in seconds.
    fn build(&self, cache: &Path) -> Result<f64> {
        succeeded(&mut self.flowgate(cache, &["environment", "build", "flow"]))
    }

    /// The network of the machine itself costs a build the least.
    fn docker_build(&self, builder: &Builder, more: &[&str]) -> Command {
        let mut command = Command::new(&builder.program);
        command.env("DOCKER_BUILDKIT", if builder.buildkit { "1" } else { "0" });
        command
            .args(["build", "--quiet", "--network", "host", "--tag", TAG])
            .args(more)
            .arg(self.folder.join("docker"));
        command
    }

    /// The faster of the engine's two builders where nothing is left to do. A command line without a plug-in for
    /// BuildKit has only the classic one.
    fn builder(&self) -> Result<Builder> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs: Vec<PathBuf> =
            std::env::split_paths(&path).filter_map(|folder| folder.join("docker").canonicalize().ok()).collect();
        // `/bin` is often another name of `/usr/bin`.
        programs.dedup();
        let first = programs.first().ok_or("the docker command line is not installed")?;
        let mut builders = vec![Builder { name: "the classic builder", program: first.clone(), buildkit: false }];
        builders.extend(programs.iter().map(|program| Builder {
            name: "BuildKit",
            program: program.clone(),
            buildkit: true,
        }));
        let mut best: Option<(f64, Builder)> = None;
        for builder in builders {
            say(&format!("bench: `docker build` by {}, {}", builder.name, builder.program.display()));
            // One builder's image loses its name to the next one's.
            self.forget()?;
            if let Err(why) = succeeded(&mut self.docker_build(&builder, &[])) {
                say(&format!("bench: cannot: {}", why.lines().next().unwrap_or_default()));
                continue;
            }
            let mut times = Vec::new();
            for _ in 0..LOOKS {
                times.push(succeeded(&mut self.docker_build(&builder, &[]))?);
            }
            let time = median(times);
            say(&format!("bench: {:.0} ms where all is cached", time * 1000.0));
            if best.as_ref().is_none_or(|(least, _)| time < *least) {
                best = Some((time, builder));
            }
        }
        best.map(|(_, builder)| builder).ok_or_else(|| "no `docker build` works".to_owned())
    }

    /// Has every build begin alike: the disk at rest, and in memory the base, the kept packages and the programs.
    ///
    /// ext4 gives out no inode that was freed within the last minutes, as far as the table that says so is in memory, and
    /// searches long for others where images and containers were removed: that made the builds after the first up to two
    /// seconds slower.
    fn refresh(&self) -> Result<()> {
        let container = ["ps", "--all", "--quiet", "--filter", "name=flowgate-build"];
        let deadline = Instant::now() + GONE_WITHIN;
        while !output(Command::new("docker").args(container))?.is_empty() {
            if Instant::now() > deadline {
                return Err("the container of a build stays; look at `docker ps --all`".to_owned());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // The second time finds free what the first one wrote.
        for _ in 0..2 {
            output(&mut Command::new("sync"))?;
            fs::write(DROP_CACHES, "3").map_err(at(Path::new(DROP_CACHES)))?;
        }
        let base = base::image_name(base::DEFAULT_PYTHON);
        let read = "find /usr /etc -xdev -type f -exec cat {} + >/dev/null";
        output(Command::new("docker").args(["run", "--rm", "--user=0", "--entrypoint=sh", &base, "-c", read]))?;
        output(Command::new("sh").args(["-c", "find . -type f -exec cat {} + >/dev/null"]).current_dir(&self.folder))?;
        let program = binary("release", "flowgate");
        fs::read(&program).map(drop).map_err(at(&program))
    }

    /// The names of the images that are measured.
    fn images(&self) -> Result<[String; 2]> {
        let plan = &mut self.flowgate(&self.full_cache(), &["environment", "plan", "flow", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&output(plan)?).map_err(|error| error.to_string())?;
        Ok([plan["image"].as_str().ok_or("the plan names no image")?.to_owned(), TAG.to_owned()])
    }

    /// Removes the images that were made.
    fn forget(&self) -> Result<()> {
        for image in self.images()? {
            // One that is not there is as good as removed.
            let _ = output(Command::new("docker").args(["image", "rm", "--force", &image]));
        }
        Ok(())
    }
}
