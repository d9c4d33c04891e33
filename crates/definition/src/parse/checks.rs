//! Checks of single strings. An error is the end of a sentence that begins with the name of the key.

use crate::{MAX_SENTENCE, OTHER, RUN, is_tool_name};

/// Bytes of a name, a key, or a member of a closed list.
const MAX_NAME: usize = 64;
/// Bytes of an e-mail or https address.
const MAX_ADDRESS: usize = 200;

/// Keys that the library sets itself. One that ends with a dot stands for all keys that begin with it.
const RESERVED: &[&str] =
    &["process.executable.name", "error.type", "service.", "telemetry.", "tool_telemetry."];

/// One line that fits into the notice.
pub(super) fn sentence(text: &str) -> Result<(), String> {
    one_line(text)?;
    let length = text.chars().count();
    if length > MAX_SENTENCE {
        return Err(format!(
            "has {length} characters, but the notice has room for {MAX_SENTENCE}; shorten it"
        ));
    }
    Ok(())
}

/// One or more lines without characters that a terminal acts on or hides.
pub(super) fn prose(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("is empty; fill it in".to_owned());
    }
    match text.chars().find(|&c| c != '\n' && is_unprintable(c)) {
        Some(found) => Err(format!("contains {found:?}, which is not printable; remove it")),
        None => Ok(()),
    }
}

fn one_line(text: &str) -> Result<(), String> {
    prose(text)?;
    if text.contains('\n') {
        return Err("has more than one line; write it on one line".to_owned());
    }
    Ok(())
}

/// Whether a character is a control character, changes the direction of the text, or has no width.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

fn at_most(text: &str, bytes: usize) -> Result<(), String> {
    if text.len() > bytes {
        return Err(format!("has {} bytes; use at most {bytes}", text.len()));
    }
    Ok(())
}

/// The name of a span.
pub(super) fn span_name(text: &str) -> Result<(), String> {
    one_line(text)?;
    if text == RUN {
        return Err(format!("is \"{RUN}\", which means the run itself and needs no entry; remove this one"));
    }
    if let Some(found) = text.chars().find(|c| matches!(c, '"' | '\\')) {
        return Err(format!("contains `{found}`; use a name without it"));
    }
    at_most(text, MAX_NAME)
}

/// The tool's name.
pub(super) fn tool(text: &str) -> Result<(), String> {
    if is_tool_name(text) {
        return Ok(());
    }
    Err(format!(
        "is {text:?}; write the tool's name as its builder has it, in lowercase letters, digits, `-`, `_`, and `.`"
    ))
}

/// The tool's own command about its telemetry. Documents put it between backticks.
pub(super) fn telemetry_command(text: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if text.split(' ').count() < 2 || !text.split(' ').all(is_word) {
        return Err(format!(
            "is {text:?}; write what users type, such as `frob telemetry` or `frob --telemetry`"
        ));
    }
    at_most(text, MAX_NAME)
}

/// The crate or module that a span comes from.
pub(super) fn target(text: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if text.split("::").all(is_word) {
        return Ok(());
    }
    let hint = if text.contains('-') { ", with `_` in place of `-`" } else { "" };
    Err(format!("is {text:?}, which is not the path of a crate or module; write it like `frob::build`{hint}"))
}

/// The key of a data point.
pub(super) fn key(text: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if !text.split('.').all(is_word) {
        return Err(format!(
            "is {text:?}; use words of lowercase letters, digits, and `_`, with dots between them, like `frob.command`"
        ));
    }
    let is_reserved = RESERVED.iter().any(|reserved| match reserved.strip_suffix('.') {
        Some(space) => text == space || text.starts_with(reserved),
        None => text == *reserved,
    });
    if is_reserved {
        return Err(format!(
            "is {text:?}, which tool-telemetry sets itself; use a key that begins with the tool's name"
        ));
    }
    at_most(text, MAX_NAME)
}

/// A member of a closed list.
pub(super) fn member(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; remove it".to_owned());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+/-".contains(c);
    if let Some(found) = text.chars().find(|&c| !is_plain(c)) {
        return Err(format!(
            "is {text:?}, which contains {found:?}; use letters, digits, `.`, `_`, `+`, `/`, and `-`"
        ));
    }
    if text.eq_ignore_ascii_case(OTHER) {
        return Err(format!("is \"{OTHER}\", which replaces every value that is not listed; remove it"));
    }
    at_most(text, MAX_NAME)
}

/// What a moniker begins with. A digit or a dot at its end would extend the version that follows, even to an IP
/// address.
pub(super) fn prefix(text: &str) -> Result<(), String> {
    member(text)?;
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    if !is_word {
        return Err(format!(
            "is {text:?}; begin it with a letter, and end it with neither a digit nor a dot, because a version follows"
        ));
    }
    Ok(())
}

/// What a moniker ends with. A digit or a dot at its beginning would extend the version.
pub(super) fn suffix(text: &str) -> Result<(), String> {
    member(text)?;
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(format!(
            "is {text:?}; begin it with neither a digit nor a dot, because a version precedes it"
        ));
    }
    Ok(())
}

/// An https address.
pub(super) fn https(text: &str) -> Result<(), String> {
    let host =
        text.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let is_host = host.is_some_and(|host| {
        host.contains('.')
            && host.split('.').all(|label| !label.is_empty())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    });
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>`".contains(&byte));
    if !is_host || !is_plain {
        return Err(format!(
            "is {text:?}, which is not an https address; write it like `https://example.com/privacy`"
        ));
    }
    at_most(text, MAX_ADDRESS)
}

/// An e-mail or https address.
pub(super) fn contact(text: &str) -> Result<(), String> {
    let is_mail = text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && host.contains('.')
            && !host.contains('@')
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    if is_mail {
        return at_most(text, MAX_ADDRESS);
    }
    https(text).map_err(|_| {
        format!("is {text:?}; write an e-mail address, or the https address of a page for questions")
    })
}

/// The SPDX identifier of a licence.
pub(super) fn licence(text: &str) -> Result<(), String> {
    let is_identifier = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'));
    if !is_identifier {
        return Err(format!("is {text:?}, which is not an SPDX identifier; write one like `CC-BY-4.0`"));
    }
    at_most(text, MAX_NAME)
}
