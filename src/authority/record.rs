//! `authority.json`: the dates and states that certificates do not hold.

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// The version that this certtool writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) current: CurrentRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<NextRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) retired: Vec<RetiredRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<FormerRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<PolicyRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CurrentRecord {
    pub(super) sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leaf_life_seconds: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NextRecord {
    pub(super) sha256: String,
    pub(super) since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<Timestamp>,
    pub(super) leaf_life_seconds: i64,
    pub(super) reason: ReasonRecord,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RetiredRecord {
    pub(super) sha256: String,
    pub(super) since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leaf_life_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<Timestamp>,
    pub(super) leaves_end: Timestamp,
    pub(super) reason: ReasonRecord,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FormerRecord {
    pub(super) sha256: String,
    pub(super) not_after: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PolicyRecord {
    pub(super) ca_life_seconds: i64,
    pub(super) leaf_life_seconds: i64,
    pub(super) settle_seconds: f64,
    pub(super) rotate_at: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ReasonRecord {
    Scheduled,
    Requested,
    Forced,
    Repair,
}

/// An instant in RFC 3339, in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Timestamp(pub(super) OffsetDateTime);

impl Timestamp {
    pub(super) fn of(at: OffsetDateTime) -> Self {
        let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(at);
        Self(at.replace_millisecond(at.millisecond()).unwrap_or(at))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        OffsetDateTime::parse(&text, &Rfc3339)
            .map(Self)
            .map_err(|_| format!("{text:?} is not an instant as RFC 3339 writes it"))
    }
}

impl From<Timestamp> for String {
    fn from(instant: Timestamp) -> Self {
        let at = instant.0;
        at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
    }
}

/// Whole seconds, rounded up: a leaf's life must not be recorded as shorter than it is.
pub(super) fn seconds(life: Duration) -> i64 {
    let whole = life.whole_seconds();
    whole.saturating_add(i64::from(life.subsec_nanoseconds() > 0))
}

/// The other way; at least a second.
pub(super) fn life(seconds: i64) -> Duration {
    Duration::seconds(seconds.max(1))
}
