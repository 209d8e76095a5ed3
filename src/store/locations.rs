//! Where things are by default, as pure functions of the environment.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Error;

/// The conventions that decide where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Linux and other systems that follow the XDG base directories.
    Xdg,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl Platform {
    /// The platform that this program was built for.
    #[must_use]
    pub fn current() -> Self {
        if cfg!(target_os = "macos") {
            Self::MacOs
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Xdg
        }
    }
}

/// The variables that decide where things are, as they were at one moment.
#[derive(Clone, Debug)]
pub struct Locations {
    /// The conventions in force.
    pub platform: Platform,
    /// `$TMPDIR`.
    pub tmpdir: Option<OsString>,
    /// `$HOME`.
    pub home: Option<OsString>,
    /// `$XDG_DATA_HOME`.
    pub xdg_data_home: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `%TMP%`.
    pub tmp: Option<OsString>,
    /// `%TEMP%`.
    pub temp: Option<OsString>,
    /// `%USERPROFILE%`.
    pub user_profile: Option<OsString>,
    /// `%LOCALAPPDATA%`.
    pub local_app_data: Option<OsString>,
}

impl Locations {
    /// Nothing set: for tests, and to fill in.
    #[must_use]
    pub fn unset(platform: Platform) -> Self {
        Self {
            platform,
            tmpdir: None,
            home: None,
            xdg_data_home: None,
            xdg_state_home: None,
            tmp: None,
            temp: None,
            user_profile: None,
            local_app_data: None,
        }
    }

    /// This process's environment, as it is now.
    #[must_use]
    pub fn from_process() -> Self {
        Self {
            platform: Platform::current(),
            tmpdir: env::var_os("TMPDIR"),
            home: env::var_os("HOME"),
            xdg_data_home: env::var_os("XDG_DATA_HOME"),
            xdg_state_home: env::var_os("XDG_STATE_HOME"),
            tmp: env::var_os("TMP"),
            temp: env::var_os("TEMP"),
            user_profile: env::var_os("USERPROFILE"),
            local_app_data: env::var_os("LOCALAPPDATA"),
        }
    }

    /// What Go's `os.TempDir()` returns, since that is where controller-runtime
    /// looks (Go `src/os/file_unix.go` and `file_windows.go`): on Unix, macOS
    /// included, `$TMPDIR` as it is, even if relative, unless it is empty, else
    /// `/tmp`; on Windows the first of `TMP`, `TEMP`, `USERPROFILE`.
    #[must_use]
    pub fn go_temp_dir(&self) -> PathBuf {
        match self.platform {
            Platform::Xdg | Platform::MacOs => {
                non_empty(self.tmpdir.as_ref()).unwrap_or_else(|| PathBuf::from("/tmp"))
            }
            Platform::Windows => [&self.tmp, &self.temp, &self.user_profile]
                .into_iter()
                .find_map(|value| non_empty(value.as_ref()))
                .unwrap_or_else(|| PathBuf::from(r"C:\Windows")),
        }
    }

    /// Where controller-runtime's webhook server looks for `tls.crt` and
    /// `tls.key` when it is given no directory
    /// (sigs.k8s.io/controller-runtime `pkg/webhook/server.go`, `CertDir`).
    #[must_use]
    pub fn serving_certs(&self) -> PathBuf {
        self.go_temp_dir()
            .join("k8s-webhook-server")
            .join("serving-certs")
    }

    /// Where the user's local authority is kept: `certtool/local-ca` in the
    /// user's data directory.
    ///
    /// # Errors
    /// [`Error::NoHome`] when no absolute directory can be derived.
    pub fn local_ca(&self) -> Result<PathBuf, Error> {
        let base = match self.platform {
            Platform::Xdg => self.xdg(self.xdg_data_home.as_ref(), &[".local", "share"]),
            Platform::MacOs => self.under_home(&["Library", "Application Support"]),
            Platform::Windows => absolute(self.local_app_data.as_ref()),
        };
        let base = base.ok_or_else(|| self.no_home("the local authority", "--ca-dir"))?;
        Ok(base.join("certtool").join("local-ca"))
    }

    /// Where certtool notes what it changed in a cluster, to be able to put it
    /// back: `certtool` in the user's state directory. `flag` is the option that
    /// overrides it.
    ///
    /// # Errors
    /// [`Error::NoHome`] when no absolute directory can be derived.
    pub fn state(&self, flag: &'static str) -> Result<PathBuf, Error> {
        let base = match self.platform {
            Platform::Xdg => self.xdg(self.xdg_state_home.as_ref(), &[".local", "state"]),
            // macOS has no state directory of its own.
            Platform::MacOs => self.under_home(&["Library", "Application Support"]),
            Platform::Windows => absolute(self.local_app_data.as_ref()),
        };
        let base = base.ok_or_else(|| self.no_home("the record of attached webhooks", flag))?;
        Ok(base.join("certtool"))
    }

    /// XDG Base Directory Specification 0.8: a variable that is unset, empty or
    /// relative is ignored.
    fn xdg(&self, variable: Option<&OsString>, default: &[&str]) -> Option<PathBuf> {
        absolute(variable).or_else(|| self.under_home(default))
    }

    fn under_home(&self, parts: &[&str]) -> Option<PathBuf> {
        absolute(self.home.as_ref()).map(|home| home.join(parts.iter().collect::<PathBuf>()))
    }

    fn no_home(&self, purpose: &'static str, flag: &'static str) -> Error {
        let variable = match self.platform {
            Platform::Xdg | Platform::MacOs => "HOME",
            Platform::Windows => "LOCALAPPDATA",
        };
        Error::NoHome {
            purpose,
            variable,
            flag,
        }
    }
}

fn non_empty(value: Option<&OsString>) -> Option<PathBuf> {
    value.filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn absolute(value: Option<&OsString>) -> Option<PathBuf> {
    non_empty(value).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at_home(platform: Platform) -> Locations {
        Locations {
            home: Some("/home/dev".into()),
            ..Locations::unset(platform)
        }
    }

    #[test]
    fn serving_certs_are_where_go_looks() {
        let mut env = at_home(Platform::Xdg);
        assert_eq!(
            env.serving_certs(),
            Path::new("/tmp/k8s-webhook-server/serving-certs")
        );
        env.tmpdir = Some("".into());
        assert_eq!(env.go_temp_dir(), Path::new("/tmp"));
        env.tmpdir = Some("/var/folders/x/T/".into());
        assert_eq!(
            env.serving_certs(),
            Path::new("/var/folders/x/T/k8s-webhook-server/serving-certs")
        );
        env.platform = Platform::MacOs;
        assert_eq!(env.go_temp_dir(), Path::new("/var/folders/x/T/"));
        // Go takes it as it is.
        env.tmpdir = Some("tmp".into());
        assert_eq!(
            env.serving_certs(),
            Path::new("tmp/k8s-webhook-server/serving-certs")
        );
    }

    #[test]
    fn on_windows_the_first_of_three_variables_counts() {
        let mut env = Locations::unset(Platform::Windows);
        env.user_profile = Some("profile".into());
        assert_eq!(env.go_temp_dir(), Path::new("profile"));
        env.temp = Some("temp".into());
        assert_eq!(env.go_temp_dir(), Path::new("temp"));
        env.tmp = Some("tmp".into());
        assert_eq!(env.go_temp_dir(), Path::new("tmp"));
    }

    #[test]
    fn the_authority_and_the_state_are_in_the_users_directories() {
        let env = at_home(Platform::Xdg);
        assert_eq!(
            env.local_ca().unwrap(),
            Path::new("/home/dev/.local/share/certtool/local-ca")
        );
        assert_eq!(
            env.state("--x").unwrap(),
            Path::new("/home/dev/.local/state/certtool")
        );
        let env = at_home(Platform::MacOs);
        let support = Path::new("/home/dev/Library/Application Support/certtool");
        assert_eq!(env.local_ca().unwrap(), support.join("local-ca"));
        assert_eq!(env.state("--x").unwrap(), support);
    }

    #[test]
    fn an_absolute_xdg_directory_counts_and_a_relative_or_empty_one_does_not() {
        let mut env = at_home(Platform::Xdg);
        env.xdg_data_home = Some("/data".into());
        env.xdg_state_home = Some("/state".into());
        assert_eq!(
            env.local_ca().unwrap(),
            Path::new("/data/certtool/local-ca")
        );
        assert_eq!(env.state("--x").unwrap(), Path::new("/state/certtool"));
        for ignored in ["", "relative/data"] {
            env.xdg_data_home = Some(ignored.into());
            assert_eq!(
                env.local_ca().unwrap(),
                Path::new("/home/dev/.local/share/certtool/local-ca")
            );
        }
    }

    #[test]
    fn without_a_home_the_error_names_the_variable_and_the_option() {
        for home in [None, Some(""), Some("relative")] {
            let mut env = Locations::unset(Platform::Xdg);
            env.home = home.map(Into::into);
            let message = env.local_ca().unwrap_err().to_string();
            assert!(
                message.contains("HOME") && message.contains("--ca-dir"),
                "{message}"
            );
        }
    }
}
