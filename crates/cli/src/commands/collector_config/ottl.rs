//! Texts of OTTL, the language of the Collector's conditions and statements.

/// Conditions or statements of one context: `resource`, `scope`, or `span`.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) context: &'static str,
    pub(super) lines: Vec<Line>,
}

/// A condition or a statement.
#[derive(Debug)]
pub(super) struct Line {
    /// Empty if the line continues what the line before begins.
    pub(super) comment: String,
    /// A YAML scalar.
    pub(super) text: String,
}

impl Line {
    /// The Collector replaces `${…}` wherever it stands in a configuration, and reads `$$` as `$`. Between single quotes,
    /// YAML knows no escape but that of the quote.
    pub(super) fn new(comment: &str, text: &str) -> Self {
        let text = text.replace('$', "$$").replace('\'', "''");
        Self { comment: comment.to_owned(), text: format!("'{text}'") }
    }
}

/// A string. Names have no quotes and no backslashes, and patterns are written without them.
pub(super) fn string(text: &str) -> String {
    format!("\"{text}\"")
}

/// The path of an attribute.
pub(super) fn attribute(context: &str, key: &str) -> String {
    format!("{context}.attributes[{}]", string(key))
}

/// Holds if the path has a string that matches as a whole. `IsMatch` alone also reads a number or a map as a string.
pub(super) fn matches(path: &str, pattern: &str) -> String {
    format!("IsString({path}) and {}", has_match(path, pattern))
}

/// Holds if a path that is always a string matches as a whole.
pub(super) fn has_match(path: &str, pattern: &str) -> String {
    format!("IsMatch({path}, {})", string(&format!("^(?:{pattern})$")))
}

/// The pattern of these texts, and of nothing else.
pub(super) fn one_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(literal).collect::<Vec<_>>().join("|")
}

/// The pattern of one name or one member of a list. A class stands where others write a backslash, which strings of OTTL and
/// of YAML would each need twice.
pub(super) fn literal(text: &str) -> String {
    let escaped = |c: char| match c {
        '.' | '+' => format!("[{c}]"),
        plain => plain.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// The pattern of a [`Version`](tool_telemetry_definition::Version).
pub(super) fn version() -> String {
    let number = "(?:0|[1-9][0-9]{0,4})";
    format!("{number}(?:[.]{number}){{0,2}}(?:-(?:alpha|beta|preview|rc)(?:[.]?{number})?)?")
}

/// All must hold.
pub(super) fn and(conditions: &[String]) -> String {
    conditions.join(" and ")
}

/// One must hold. Between parentheses if there are several.
pub(super) fn or(conditions: &[String]) -> String {
    match conditions {
        [one] => one.clone(),
        several => format!("({})", several.join(" or ")),
    }
}

/// None may hold.
pub(super) fn none(conditions: &[String]) -> String {
    format!("not ({})", conditions.join(" or "))
}
