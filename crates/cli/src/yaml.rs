//! Quoting for YAML that is written by templates.

/// A text as a YAML scalar. What JSON quotes, YAML reads as the same text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
