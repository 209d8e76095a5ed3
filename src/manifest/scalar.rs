//! What a YAML scalar means to Kubernetes: the core schema.

use serde_json::{Number, Value};

use super::tree::{Style, Tag};

pub(super) fn value(text: &str, style: Style, tag: Option<Tag>) -> Value {
    if style != Style::Plain || tag == Some(Tag::String) {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    // Almost no scalar is a number: look before trying.
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = unsigned.parse::<i64>() {
        return Some(integer.into());
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(Number::from);
        }
    }
    // `inf` and `nan` parse as floats in Rust, but begin with a letter there.
    let float = unsigned.parse::<f64>().ok()?;
    Number::from_f64(float)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("true", json!(true)),
            ("False", json!(false)),
            ("yes", json!("yes")),
            ("443", json!(443)),
            ("-1", json!(-1)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("v1", json!("v1")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            (".inf", json!(".inf")),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ] {
            assert_eq!(value(text, Style::Plain, None), expected, "{text}");
        }
    }

    #[test]
    fn quotes_and_the_string_tag_make_strings() {
        assert_eq!(value("443", Style::DoubleQuoted, None), json!("443"));
        assert_eq!(value("", Style::SingleQuoted, None), json!(""));
        assert_eq!(
            value("true", Style::Plain, Some(Tag::String)),
            json!("true")
        );
        assert_eq!(value("443", Style::Plain, Some(Tag::Other)), json!(443));
    }
}
