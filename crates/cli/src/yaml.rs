//! Quotes text for YAML templates.

/// A YAML scalar. YAML reads a JSON string as the same text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
