//! Through the real kustomize: as a pipe, and as a function within it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::{Home, Said, support, without_bundles};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Built once, with the user's own caches.
fn kustomize() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let build = Command::new(repository().join("scripts/kustomize"));
        let output = support::output(build, Duration::from_secs(600));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

impl Home {
    fn kustomize(&self, words: &str) -> Said {
        let mut command = Command::new(kustomize());
        let certtool = self.command("");
        let programs = Path::new(certtool.get_program()).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        command
            .args(words.split_whitespace())
            .env("PATH", path)
            .current_dir(self.root());
        Said::of(command)
    }

    /// The operator's project, in `config`.
    fn with_project(self) -> Self {
        let project = repository().join("tests/operator/config");
        for entry in walkdir::WalkDir::new(&project) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(&project).unwrap();
                let name = format!("config/{}", name.display());
                self.write(&name, std::fs::read(entry.path()).unwrap());
            }
        }
        self
    }
}

#[test]
fn what_kustomize_builds_changes_in_its_bundle_lines_alone() {
    let home = Home::new().with_project();
    let before = home.kustomize("build config/default").done().stdout;
    let after = home.injected(&before);
    assert_eq!(
        without_bundles(&after),
        before.split_inclusive('\n').collect::<Vec<_>>()
    );
    assert_eq!(after.matches(&home.base64(&["ca.crt"])).count(), 3);
}

#[test]
fn in_the_project_or_in_what_is_built_the_bundles_are_the_same() {
    let home = Home::new().with_project();
    let built = home.kustomize("build config/default").done().stdout;
    let after = home.injected(built);
    home.certtool("inject -i -f config --ca ca.crt").done();
    assert_eq!(home.kustomize("build config/default").done().stdout, after);
}

const TRANSFORMER: &str = "\
apiVersion: certtool.dev/v1alpha1
kind: CABundle
metadata:
  name: ca
  annotations:
    config.kubernetes.io/function: |
      exec:
        path: certtool
        args: [krm]
spec:
  caFile: ../../ca.crt
";

const PLUGINS: &str = "build --enable-alpha-plugins --enable-exec config/default";

#[test]
fn kustomize_runs_it_as_a_function() {
    let home = Home::new().with_project();
    let built = home.kustomize("build config/default").done().stdout;
    let after = home.injected(built);
    let kustomization = home.read("config/default/kustomization.yaml");
    home.write("config/default/ca.yaml", TRANSFORMER);
    home.write(
        "config/default/kustomization.yaml",
        format!("{kustomization}\ntransformers:\n- ca.yaml\n"),
    );
    assert_eq!(home.kustomize(PLUGINS).done().stdout, after);

    home.write("ca.crt", "no certificate\n");
    home.kustomize(PLUGINS)
        .refused(1, &["ca.crt is not injected"]);
}
