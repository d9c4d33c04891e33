//! The texts by which the page shows numbers, days, and values.

use jiff::civil::Date;
use serde_json::Value;
use tool_telemetry_definition::{ERROR_TYPE, OTHER, SERVICE_VERSION};

use super::timeline::Period;

/// A number with commas: `12,345`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A percentage with one decimal below 10: `4.2%`, `87%`.
pub(super) fn percent(percent: f64) -> String {
    if percent < 9.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// A day: `16 Nov 2026`, with blanks at which no line breaks.
pub(super) fn day(date: Date) -> String {
    date.strftime("%-d\u{a0}%b\u{a0}%Y").to_string()
}

/// The days of a period, with what it has in common once: `16–22 Nov 2026`.
pub(super) fn days(period: &Period<'_>) -> String {
    let (start, end) = (period.start, period.end());
    let first = if start.year() != end.year() {
        day(start)
    } else if start.month() != end.month() {
        start.strftime("%-d\u{a0}%b").to_string()
    } else {
        start.day().to_string()
    };
    format!("{first}–{}", day(end))
}

/// `week` or `period of four weeks`.
pub(super) fn period_noun(days: u32) -> &'static str {
    if days == 7 { "week" } else { "period of four weeks" }
}

/// A magnitude of rejected reports: `100 to 999`.
pub(super) fn magnitude(rejected: u64) -> String {
    match rejected {
        0 => "none".to_owned(),
        1 => "1 to 9".to_owned(),
        power => format!("{} to {}", number(power), number(power.saturating_mul(10) - 1)),
    }
}

/// A value of a cell, as users know it.
pub(super) fn value(key: &str, value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if key == ERROR_TYPE => error_type(text).to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A key in a word or two: the last part of its name.
pub(super) fn key(key: &str) -> String {
    match key {
        ERROR_TYPE => "failure".to_owned(),
        key => key.rsplit('.').next().unwrap_or(key).replace('_', " "),
    }
}

/// How a run failed.
pub(super) fn error_type(value: &str) -> &str {
    match value {
        "_OTHER" => "ended with an error",
        "cut_off" => "ended without an exit code",
        value => value,
    }
}

/// The value that stands for all that are not listed.
pub(super) fn is_other(value: &Value) -> bool {
    value.as_str() == Some(OTHER)
}

/// The sentence of a key that telemetry.toml does not explain, because it belongs to every run.
pub(super) fn library_sentence(key: &str) -> Option<&'static str> {
    match key {
        SERVICE_VERSION => Some("The version of the tool"),
        ERROR_TYPE => Some("How the command failed"),
        _ => None,
    }
}
