//! The `openssl` command as the judge of what is accepted.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::targets::{Accepted, Kind};

/// How many commands run at a time.
const TOGETHER: usize = 4;

/// The positions of those that openssl refuses, in order, and what it says of them.
pub(crate) fn refused(accepted: &[&Accepted]) -> Vec<(usize, String)> {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let mut refused = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER)
            .map(|worker| {
                let file = dir.path().join(format!("input-{worker}"));
                let next = &next;
                scope.spawn(move || {
                    let mut refused = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(one) = accepted.get(index) else {
                            return refused;
                        };
                        refused.extend(refuses(one, &file).map(|why| (index, why)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect::<Vec<_>>()
    });
    refused.sort();
    refused
}

fn refuses(accepted: &Accepted, file: &Path) -> Option<String> {
    let arguments: &[&str] = match accepted.kind {
        Kind::RequestDer => &["req", "-inform", "DER", "-noout", "-in"],
        Kind::RequestPem => &["req", "-noout", "-in"],
        Kind::CertificateDer => &["x509", "-inform", "DER", "-noout", "-in"],
        Kind::CertificatesPem(1) => &["x509", "-noout", "-in"],
        Kind::CertificatesPem(_) => &["storeutl", "-noout", "-certs"],
        Kind::KeyPem => &["pkey", "-noout", "-in"],
        Kind::Other => return None,
    };
    std::fs::write(file, &accepted.bytes).unwrap();
    let output = openssl(arguments, file);
    let said = String::from_utf8_lossy(&output.stdout);
    let complete = match accepted.kind {
        Kind::CertificatesPem(count) if count > 1 => {
            said.contains(&format!("Total found: {count}"))
        }
        _ => true,
    };
    (!output.status.success() || !complete).then(|| {
        format!(
            "openssl {}: {said}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn openssl(arguments: &[&str], file: &Path) -> Output {
    Command::new("openssl")
        .args(arguments)
        .arg(file)
        .output()
        .expect("the openssl command is needed for this test")
}
