//! A home directory: certtool and openssl run in it, and what they say is judged.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{self, Process};

/// How long one command may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The recipe's key: small and quick.
pub const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

pub struct Files {
    home: TempDir,
}

impl Files {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        let path = self.path(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn exists(&self, file: &str) -> bool {
        self.path(file).symlink_metadata().is_ok()
    }

    /// The names in a directory, sorted; nothing if there is none.
    pub fn list(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(directory)) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// certtool, words separated by spaces, not started yet; no cluster.
    pub fn command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.home());
        command.args(words.split_whitespace());
        command
    }

    /// Runs certtool to its end, without a cluster.
    pub fn certtool(&self, words: &str) -> Said {
        Said::of(self.command(words))
    }

    /// The same with a file as stdin.
    pub fn certtool_reading(&self, stdin: &str, words: &str) -> Said {
        let mut command = self.command(words);
        command.stdin(File::open(self.path(stdin)).unwrap());
        Said::of(command)
    }

    pub fn try_openssl(&self, words: &str) -> Output {
        let mut command = Command::new("openssl");
        command
            .args(words.split_whitespace())
            .current_dir(self.home());
        support::output(command, LIMIT)
    }

    /// openssl's stdout; panics when it fails.
    #[track_caller]
    pub fn openssl(&self, words: &str) -> String {
        let output = self.try_openssl(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `NAME.csr` with its key, made by openssl for these names (`DNS:a,IP:1.2.3.4`).
    pub fn csr(&self, name: &str, names: &str) {
        self.openssl(&format!(
            "req -new {EC} -keyout {name}.key -out {name}.csr -subj / -addext subjectAltName={names}"
        ));
    }

    /// `NAME.crt` and `NAME.key`: a CA that is valid between two days from now.
    pub fn ca_between(&self, name: &str, from: i64, to: i64) {
        let now = time::OffsetDateTime::now_utc();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_before = now + time::Duration::days(from);
        params.not_after = now + time::Duration::days(to);
        let key = rcgen::KeyPair::generate().unwrap();
        self.write(
            &format!("{name}.crt"),
            params.self_signed(&key).unwrap().pem(),
        );
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    /// Whether openssl verifies a certificate for a host with a CA.
    pub fn verifies(&self, ca: &str, certificate: &str, host: &str) -> bool {
        let kind = match host.parse::<std::net::IpAddr>() {
            Ok(_) => "-verify_ip",
            Err(_) => "-verify_hostname",
        };
        let words = format!(
            "verify -x509_strict -purpose sslserver -CAfile {ca} {kind} {host} {certificate}"
        );
        self.try_openssl(&words).status.success()
    }

    /// Certificate and key belong together, says openssl.
    #[track_caller]
    pub fn assert_pair(&self, certificate: &str, key: &str) {
        let of_certificate = self.openssl(&format!("x509 -in {certificate} -noout -pubkey"));
        let of_key = self.openssl(&format!("pkey -in {key} -pubout"));
        assert_eq!(of_certificate, of_key);
    }

    /// What `openssl x509` says, such as `-serial` or `-ext subjectAltName`.
    pub fn x509(&self, certificate: &str, what: &str) -> String {
        self.openssl(&format!("x509 -in {certificate} -noout {what}"))
            .trim()
            .to_owned()
    }

    /// `notAfter` in seconds since 1970.
    pub fn not_after(&self, certificate: &str) -> i64 {
        let text = self.x509(certificate, "-enddate -dateopt iso_8601");
        let text = text.trim_start_matches("notAfter=").replace(' ', "T");
        let format = time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(&text, &format)
            .unwrap()
            .unix_timestamp()
    }

    pub fn mode(&self, file: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(self.path(file)).unwrap().permissions().mode() & 0o777
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// What a command printed and how it ended. No command of this program ever prints a
/// private key.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    #[track_caller]
    pub fn of(command: Command) -> Self {
        let described = format!("{command:?}");
        let output = support::output(command, LIMIT);
        let said = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert_no_key(&format!("{described}\n{}{}", said.stdout, said.stderr));
        assert_ne!(said.code, 101, "{described} panicked: {}", said.stderr);
        said
    }

    /// What a process said that ran beside the test.
    #[track_caller]
    pub fn at_the_end_of(mut process: Process) -> Self {
        let status = process.wait(LIMIT);
        // The readers may be a moment behind.
        std::thread::sleep(Duration::from_millis(100));
        let said = Self {
            code: status.code().unwrap_or(-1),
            stdout: process.stdout(),
            stderr: process.stderr(),
        };
        assert_no_key(&format!("{}{}", said.stdout, said.stderr));
        said
    }

    #[track_caller]
    pub fn done(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert!(stdout.contains(text), "no {text:?} in\n{stdout}\n{stderr}");
        self
    }

    #[track_caller]
    pub fn prints_nothing(self) -> Self {
        assert_eq!(self.stdout, "", "{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn explains(self, text: &str) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert!(stderr.contains(text), "no {text:?} in\n{stderr}\n{stdout}");
        self
    }

    #[track_caller]
    pub fn says_nothing_of(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(!all.contains(text), "{text:?} in\n{all}");
        self
    }

    /// The result as data.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Private keys stay where they were made.
#[track_caller]
pub fn assert_no_key(text: &str) {
    assert!(!text.contains("PRIVATE KEY-----"), "a private key: {text}");
}
