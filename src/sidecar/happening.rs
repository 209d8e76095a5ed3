//! What a loop has to tell: one value for the log, the metrics and the Pod's events.

use std::fmt;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::failure::Failure;
use crate::plan::{Reason, instant};

/// Something that happened. `Display` is a line for people; no key is in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Happening {
    /// The pair that was there is good.
    Kept {
        /// Until when it is valid.
        not_after: OffsetDateTime,
        /// When it is renewed.
        due: OffsetDateTime,
    },
    /// A pair is asked for.
    Asking {
        /// Why.
        reason: Reason,
        /// Of whom: a signer or a Secret.
        issuer: String,
    },
    /// The signer has the request and has not answered yet.
    Waiting {
        /// The request's name, its state, and what would help.
        what: String,
    },
    /// A new pair is on disk.
    Issued {
        /// Why it was asked for.
        reason: Reason,
        /// Its serial number.
        serial: String,
        /// Until when it is valid.
        not_after: OffsetDateTime,
        /// When it is renewed.
        due: OffsetDateTime,
        /// From the decision to the rename.
        took: std::time::Duration,
    },
    /// The bundle beside the pair was written anew.
    TrustWritten,
    /// The pair was put back after somebody had removed or changed it.
    Restored,
    /// There is no new pair, or it could not be written. The old one is as it was.
    Failed {
        /// Why.
        failure: Arc<Failure>,
        /// How often in a row.
        failures: u32,
        /// When it is tried again.
        retry_in: Duration,
        /// How long the old pair is still valid; nothing when there is none.
        remaining: Option<Duration>,
    },
    /// The signer's certificates do not last longer than what they are to replace.
    NothingGained {
        /// Until when the new one is valid.
        not_after: OffsetDateTime,
    },
    /// What has to be trusted could not be read; what was known stays.
    TrustUnreadable {
        /// Why.
        why: String,
    },
    /// The server was told to reload.
    Reloaded {
        /// How.
        how: String,
    },
    /// It could not be told.
    ReloadFailed {
        /// Why.
        why: String,
    },
    /// The server shows the pair that is on disk, and clients would trust it.
    Served {
        /// Since the pair was written, if this process wrote it.
        after: Option<std::time::Duration>,
    },
    /// It does not, long after it should.
    NotServed {
        /// What it does.
        why: String,
        /// For how long.
        since: std::time::Duration,
    },
    /// Something to note that fits nowhere else, such as about the CA of its own.
    Note {
        /// Whether it is something to worry about.
        is_warning: bool,
        /// A word in CamelCase.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
}

impl Happening {
    /// A word in CamelCase, for the `reason` of an Event and for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kept { .. } => "CertificateKept",
            Self::Asking { .. } => "CertificateRequested",
            Self::Waiting { .. } => "WaitingForSigner",
            Self::Issued { .. } => "CertificateIssued",
            Self::TrustWritten => "TrustBundleWritten",
            Self::Restored => "CertificateRestored",
            Self::Failed { .. } => "CertificateFailed",
            Self::NothingGained { .. } => "NothingGained",
            Self::TrustUnreadable { .. } => "TrustBundleUnreadable",
            Self::Reloaded { .. } => "ServerReloaded",
            Self::ReloadFailed { .. } => "ReloadFailed",
            Self::Served { .. } => "CertificateServed",
            Self::NotServed { .. } => "CertificateNotServed",
            Self::Note { reason, .. } => reason,
        }
    }

    /// Whether somebody should look at it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Restored
            | Self::Failed { .. }
            | Self::NothingGained { .. }
            | Self::TrustUnreadable { .. }
            | Self::ReloadFailed { .. }
            | Self::NotServed { .. } => true,
            Self::Note { is_warning, .. } => *is_warning,
            _ => false,
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { not_after, due } => write!(
                f,
                "the pair on disk is good until {}, and is renewed at {}",
                instant(*not_after),
                instant(*due)
            ),
            Self::Asking { reason, issuer } => {
                write!(f, "asking {issuer} for a certificate, since {reason}")
            }
            Self::Waiting { what } => f.write_str(what),
            Self::Issued {
                serial,
                not_after,
                due,
                took,
                ..
            } => write!(
                f,
                "wrote a new pair after {} ms: serial {serial}, valid until {}, renewed at {}",
                took.as_millis(),
                instant(*not_after),
                instant(*due)
            ),
            Self::TrustWritten => f.write_str("wrote ca.crt anew; the pair stays"),
            Self::Restored => f.write_str(
                "the files were removed or changed by another hand, and the pair was put back",
            ),
            Self::Failed {
                failure,
                failures,
                retry_in,
                remaining,
            } => {
                write!(f, "{failure}. ")?;
                match remaining {
                    None => f.write_str("There is no pair yet")?,
                    Some(left) if left.is_negative() => f.write_str("The old pair has EXPIRED")?,
                    Some(left) => write!(f, "The old pair is kept, and valid for {}", span(*left))?,
                }
                let again = span(*retry_in);
                write!(
                    f,
                    "; next attempt in {again} (failures in a row: {failures})"
                )
            }
            Self::NothingGained { not_after } => write!(
                f,
                "the new certificate is due for renewal as soon as it is there (it ends at {}): the CA ends, the signer grants too short a life, or the clock here is ahead of the signer's",
                instant(*not_after)
            ),
            Self::TrustUnreadable { why } => {
                write!(f, "the trust bundle could not be read: {why}")
            }
            Self::Reloaded { how } => write!(f, "told the server to reload: {how}"),
            Self::ReloadFailed { why } => {
                write!(f, "could not tell the server to reload: {why}")
            }
            Self::Served { after: Some(after) } => write!(
                f,
                "the server shows the new certificate, {} ms after it was written",
                after.as_millis()
            ),
            Self::Served { after: None } => f.write_str("the server shows the pair on disk"),
            Self::NotServed { why, since } => write!(
                f,
                "the server does not show the certificate on disk, {} s after it was written: {why}. Does it reload its files? If not, tell it to with --reload-signal or --reload-exec",
                since.as_secs()
            ),
            Self::Note { message, .. } => f.write_str(message),
        }
    }
}

/// Two units at most: `3d 4h`, `40s`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.whole_seconds().unsigned_abs();
    let (first, second) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3600 => ((seconds / 60, 'm'), (seconds % 60, 's')),
        3600..86_400 => ((seconds / 3600, 'h'), (seconds % 3600 / 60, 'm')),
        _ => ((seconds / 86_400, 'd'), (seconds % 86_400 / 3600, 'h')),
    };
    if second.0 == 0 {
        return format!("{}{}", first.0, first.1);
    }
    format!("{}{} {}{}", first.0, first.1, second.0, second.1)
}

/// Who is told.
pub type Observer = Arc<dyn Fn(&Happening) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, shown) in [
            (7, "7s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3_600, "1h"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(span(Duration::seconds(seconds)), shown);
        }
    }
}
