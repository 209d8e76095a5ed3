//! What is wrong with a CSR JSON or a signing config, where, and what to do.

use std::fmt;

/// A place in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct At {
    /// The path, such as `signing.profiles.server.expiry`; empty for the whole text.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}, ", self.path)?;
        }
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is no CSR JSON or signing config, or not one that certtool follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not JSON.
    #[error("{at}: not valid JSON: {problem}")]
    Syntax {
        /// Where.
        at: At,
        /// What is wrong.
        problem: String,
    },
    /// A key that cfssl would drop without a word.
    #[error("{at}: unknown key{}", suggestion(.meant.as_deref()))]
    UnknownKey {
        /// The key's own path and place.
        at: At,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// A key given twice, also in another case, which cfssl takes for the same.
    #[error("{at}: the key is given twice")]
    DuplicateKey {
        /// The second one.
        at: At,
    },
    /// A value of the wrong type.
    #[error("{at}: expected {expected}, found {found}")]
    Type {
        /// Where.
        at: At,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A value of the right type that means nothing, or nothing good.
    #[error("{at}: {problem}")]
    Value {
        /// Where.
        at: At,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// Something that cfssl does and certtool does not.
    #[error("{at}: {feature} is not supported: {instead}")]
    Unsupported {
        /// Where.
        at: At,
        /// The feature by its name in the text.
        feature: &'static str,
        /// Why, or what to do instead.
        instead: &'static str,
    },
    /// No such profile. cfssl would sign with the default one.
    #[error("the signing config has no profile {name:?}{}", it_has(.known))]
    UnknownProfile {
        /// The name asked for.
        name: String,
        /// The names that it has.
        known: Vec<String>,
    },
}

fn suggestion(meant: Option<&str>) -> String {
    meant.map_or_else(
        || "; remove it".to_owned(),
        |meant| format!("; did you mean {meant:?}?"),
    )
}

fn it_has(names: &[String]) -> String {
    if names.is_empty() {
        ": it has the default alone".to_owned()
    } else {
        format!(": it has {} and the default", names.join(", "))
    }
}
