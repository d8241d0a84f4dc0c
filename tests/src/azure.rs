//! A network of its own for one test, in which Azure's and GitHub's hosts are a fake on the loopback device.
//!
//! Feeds, identities and Azure's registries have constant hosts: the machine's identity endpoint is
//! at 169.254.169.254, tokens go to `pkgs.dev.azure.com` and nowhere else. So the test starts itself
//! once more inside a network namespace that has these addresses, and the program under test is the
//! built one, as it is shipped.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Folder, skip};

const INSIDE: &str = "FLOWGATE_TEST_NETWORK";
/// Hosts of the fake. The certificate knows all but the last two: one is another's, and at the
/// other's address nobody listens.
const HOSTS: [&str; 7] = [
    "pkgs.dev.azure.com",
    "login.microsoftonline.com",
    "token.actions.githubusercontent.com",
    "contoso.azurecr.io",
    "packages.contoso.example",
    "impostor.pkgs.visualstudio.com",
    "silent.pkgs.visualstudio.com",
];
/// What the fake's tokens begin with.
const TOKEN: &str = "fake-";

/// The fake, inside its network.
#[derive(Debug)]
pub struct Azure {
    folder: PathBuf,
    fake: Child,
}

/// Runs a test inside a network of its own. `name` is the test's own name.
///
/// # Panics
/// Where the test fails inside.
pub fn in_own_network(name: &str, test: impl FnOnce(&Azure)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return test(&Azure::start(Path::new(&folder)));
    }
    let works = Command::new("unshare").args(["--net", "--mount", "ip", "link", "set", "lo", "up"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skip("no network namespace (needs root, unshare and ip)");
    }
    let folder = Folder::new("azure");
    certificates(folder.path());
    let address = |host: &str| if host.starts_with("silent.") { "127.0.0.2" } else { "127.0.0.1" };
    let hosts: String = HOSTS.iter().map(|host| format!("{} {host}\n", address(host))).collect();
    folder.write("hosts", format!("127.0.0.1 localhost\n{hosts}"));
    let setup = format!(
        "ip link set lo up && ip addr add 169.254.169.254/32 dev lo && mount --bind {}/hosts /etc/hosts && exec \"$@\"",
        folder.path().display()
    );
    let test = std::env::current_exe().expect("the test's own path");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &setup, "sh"]).arg(test).args(["--exact", name, "--nocapture"]);
    command.env(INSIDE, folder.path()).env("SSL_CERT_FILE", folder.path().join("ca.pem"));
    for variable in ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("unshare starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "inside its network:\n{said}");
}

/// An authority and a certificate of it for the fake's hosts.
fn certificates(folder: &Path) {
    let names: Vec<String> = HOSTS.iter().take(5).map(|host| format!("DNS:{host}")).collect();
    std::fs::write(folder.join("names"), format!("subjectAltName={}\n", names.join(","))).expect("a file");
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=fake-authority -days 2"));
    openssl(&format!("req {key} -keyout azure.key -out azure.csr -subj /CN=fake-azure"));
    openssl("x509 -req -in azure.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out azure.pem -days 2 -extfile names");
}

impl Azure {
    fn start(folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fake_azure.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(folder.join("azure.pem")).arg(folder.join("azure.key"));
        let mut fake = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let mut line = String::new();
        BufReader::new(fake.stdout.take().expect("its output")).read_line(&mut line).expect("its word");
        assert_eq!(line, "ready\n");
        Self { folder: folder.to_owned(), fake }
    }

    /// A folder that goes away after the test.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the fake was asked so far, as hosts with paths.
    pub fn asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.folder.join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    /// Runs `flowgate` and gives its exit code and its output, in which no token may be.
    ///
    /// # Panics
    /// Where a token is in the output.
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = crate::command(&self.folder, arguments);
        // No `az` of this machine.
        command.env("PATH", format!("{}:/usr/bin:/bin", self.folder.join("bin").display()));
        command.env("FLOWGATE_CACHE_DIR", self.folder.join("cache"));
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("flowgate starts");
        let arguments_of_child = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        let mut out = String::new();
        child.stdout.take().expect("its output").read_to_string(&mut out).expect("text");
        child.stderr.take().expect("its errors").read_to_string(&mut out).expect("text");
        let status = child.wait().expect("it ends");
        for seen in [out.as_str(), &String::from_utf8_lossy(&arguments_of_child)] {
            assert!(!seen.contains(TOKEN), "a token is shown: {seen}");
        }
        (status.code(), out)
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = self.fake.kill();
        let _ = self.fake.wait();
    }
}
