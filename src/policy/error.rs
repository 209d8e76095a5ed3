//! What is wrong with a policy file, where, and what was probably meant.

/// A policy file that is not accepted. Nothing of it is in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}{}", place(*.line), suggestion(.hint.as_deref()))]
pub struct PolicyError {
    line: Option<usize>,
    message: String,
    hint: Option<String>,
}

fn place(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

fn suggestion(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

impl PolicyError {
    pub(crate) fn plain(message: String) -> Self {
        Self {
            line: None,
            message,
            hint: None,
        }
    }

    pub(crate) fn of(error: &serde_yaml::Error) -> Self {
        let sentence = error.to_string();
        let message = match (error.location(), sentence.rfind(" at line ")) {
            (Some(_), Some(at)) => sentence.get(..at).unwrap_or(&sentence).to_owned(),
            _ => sentence,
        };
        Self {
            line: error.location().map(|location| location.line()),
            hint: hint(&message),
            message,
        }
    }

    /// The line, from 1, where it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

fn hint(message: &str) -> Option<String> {
    if let Some(meant) = closest(message) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let is_flow = message.contains("invalid type: map, expected a string");
    if is_flow {
        return Some("a value with {…} is written in quotation marks".to_owned());
    }
    let is_alias = message.contains("alias") || message.contains("anchor");
    is_alias.then(|| "a value that begins with * is written in quotation marks".to_owned())
}

/// From serde's "unknown field `a`, expected one of `b`, `c`", and "expected `b`": the
/// expected word that is most like the given one.
fn closest(message: &str) -> Option<&str> {
    let mut words = message
        .split_once("unknown ")?
        .1
        .split('`')
        .skip(1)
        .step_by(2);
    let given = words.next()?.to_lowercase();
    words
        .map(|word| (strsim::jaro_winkler(&given, &word.to_lowercase()), word))
        .filter(|(alike, _)| *alike >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
