//! The argument of `data_points!`: a path in quotes.

/// The path among the tokens of a call.
pub(crate) fn path(tokens: &[String]) -> Result<String, String> {
    let example = "write data_points!(\"telemetry.toml\")";
    let literal = match tokens {
        [literal] => literal,
        [literal, comma] if comma == "," => literal,
        [] => return Err(format!("data_points! needs the path of a file: {example}")),
        _ => return Err(format!("data_points! takes one path in quotes: {example}")),
    };
    let content = match literal.strip_prefix('r') {
        Some(raw) => quoted(raw.trim_matches('#')),
        None => quoted(literal).filter(|content| !content.contains('\\')),
    };
    content
        .filter(|content| !content.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| format!("data_points! takes a path in quotes and without `\\`: {example}"))
}

fn quoted(literal: &str) -> Option<&str> {
    literal.strip_prefix('"')?.strip_suffix('"')
}
