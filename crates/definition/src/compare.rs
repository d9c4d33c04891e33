//! What a change of a `telemetry.toml` means, for its reviewer.

use std::fmt;

use crate::{Audience, DataPoint, Definition, Kind, Publisher, Span, Version};

/// How two definitions differ in one point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Whether more or less is collected.
    pub change: Change,
    /// The entry, such as ``data point `frob.command` ``.
    pub entry: String,
    /// What is different; empty for an entry that is new or gone.
    pub detail: String,
    /// More is collected, but people who saw the notice of the old definition are not told: the entry's `since` is
    /// not later than all of the old ones. Raise it.
    pub is_untold: bool,
}

/// Whether more or less is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An entry that the old definition does not have.
    New,
    /// More values, more spans, more receivers, a longer time. A change of the kind counts as wider.
    Wider,
    /// Fewer of them.
    Narrower,
    /// An entry that the new definition no longer has.
    Gone,
    /// The same is collected, and said in other words.
    Reworded,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Wider => "wider",
            Self::Narrower => "narrower",
            Self::Gone => "gone",
            Self::Reworded => "reworded",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.change, self.entry)?;
        if !self.detail.is_empty() {
            write!(f, ", {}", self.detail)?;
        }
        if self.is_untold {
            f.write_str(" (raise `since`: nobody is told of it)")?;
        }
        Ok(())
    }
}

/// Compares two definitions: the differences of the publisher and of the telemetry command, then of the spans, then of the data points.
///
/// ```
/// use tool_telemetry_definition::{Change, Definition, compare};
///
/// let definition = |values: &str| {
///     Definition::parse(&format!(
///         "format = 1\n[[data_point]]\nkey = 'frob.color'\non = ['run']\nsentence = 'Colours'\nwhy = 'To choose.'\n\
///          kind = 'set'\nvalues = {values}\naudience = 'maker'\nsince = '1.0'\nuntil = 'never'"
///     ))
/// };
/// let differences = compare(&definition("['never']")?, &definition("['never', 'always']")?);
/// assert_eq!(differences.len(), 1);
/// assert_eq!(differences[0].change, Change::Wider);
/// assert!(differences[0].is_untold);
/// # Ok::<(), tool_telemetry_definition::Faults>(())
/// ```
pub fn compare(old: &Definition, new: &Definition) -> Vec<Difference> {
    let mut found = Vec::new();
    publishers(old.publisher.as_ref(), new.publisher.as_ref(), &mut found);
    commands(old.telemetry_command.as_deref(), new.telemetry_command.as_deref(), &mut found);
    // What the notice of the old definition is remembered by.
    let told = (old.spans.iter().map(|span| span.since))
        .chain(old.data_points.iter().map(|data_point| data_point.since))
        .max()
        .unwrap_or(Version::ZERO);
    entries(
        (&old.spans, &new.spans),
        |a, b| (&a.name, &a.target) == (&b.name, &b.target),
        |span| format!("span `{}` of {}", span.name, span.target),
        |span| span.since <= told,
        spans,
        &mut found,
    );
    entries(
        (&old.data_points, &new.data_points),
        |a, b| a.key == b.key,
        |data_point| format!("data point `{}`", data_point.key),
        |data_point| data_point.since <= told,
        data_points,
        &mut found,
    );
    found
}

/// What is different in one entry.
#[derive(Debug, Default)]
struct Details(Vec<(Change, String)>);

impl Details {
    fn push(&mut self, change: Change, detail: impl Into<String>) {
        self.0.push((change, detail.into()));
    }

    /// A value on a scale: the greater, the more is collected.
    fn scale<T: PartialOrd>(&mut self, old: T, new: T, detail: impl Fn() -> String) {
        if new > old {
            self.push(Change::Wider, detail());
        } else if new < old {
            self.push(Change::Narrower, detail());
        }
    }

    fn words(&mut self, what: &str, old: &str, new: &str) {
        if old != new {
            self.push(Change::Reworded, format!("{what} {old:?} becomes {new:?}"));
        }
    }

    fn list(&mut self, what: &str, old: &[String], new: &[String]) {
        let missing = |from: &[String], in_list: &[String]| {
            in_list
                .iter()
                .filter(|member| !from.iter().any(|known| known.eq_ignore_ascii_case(member)))
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (added, removed) = (missing(old, new), missing(new, old));
        if !added.is_empty() {
            self.push(Change::Wider, format!("`{what}` gains {added}"));
        }
        if !removed.is_empty() {
            self.push(Change::Narrower, format!("`{what}` loses {removed}"));
        }
    }

    fn audience(&mut self, old: Audience, new: Audience) {
        let maker = |audience| audience == Audience::Maker;
        self.scale(maker(old), maker(new), || format!("audience {old} becomes {new}"));
    }

    fn times(&mut self, old: (Version, Option<Version>), new: (Version, Option<Version>)) {
        // An earlier `since` collects more, so the scale is turned around.
        self.scale(new.0, old.0, || format!("since {} becomes {}", old.0, new.0));
        let until =
            |until: Option<Version>| until.map_or_else(|| "never".to_owned(), |until| until.to_string());
        // Nothing is later than `never`.
        let order = |until: Option<Version>| (until.is_none(), until);
        self.scale(order(old.1), order(new.1), || format!("until {} becomes {}", until(old.1), until(new.1)));
    }
}

fn entries<T>(
    (old, new): (&[T], &[T]),
    is_same: impl Fn(&T, &T) -> bool,
    name: impl Fn(&T) -> String,
    is_untold: impl Fn(&T) -> bool,
    details: impl Fn(&T, &T, &mut Details),
    found: &mut Vec<Difference>,
) {
    for entry in old.iter().filter(|old| !new.iter().any(|new| is_same(old, new))) {
        found.push(difference(Change::Gone, name(entry), String::new(), false));
    }
    for entry in new {
        match old.iter().find(|old| is_same(old, entry)) {
            None => found.push(difference(Change::New, name(entry), String::new(), is_untold(entry))),
            Some(old) => {
                let mut all = Details::default();
                details(old, entry, &mut all);
                for (change, detail) in all.0 {
                    found.push(difference(change, name(entry), detail, is_untold(entry)));
                }
            }
        }
    }
}

fn difference(change: Change, entry: String, detail: String, is_untold: bool) -> Difference {
    Difference {
        change,
        entry,
        detail,
        is_untold: is_untold && matches!(change, Change::New | Change::Wider),
    }
}

fn publishers(old: Option<&Publisher>, new: Option<&Publisher>, found: &mut Vec<Difference>) {
    let mut all = Details::default();
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => all.push(Change::New, ""),
        (Some(_), None) => all.push(Change::Gone, ""),
        (Some(old), Some(new)) => {
            all.words("name", &old.name, &new.name);
            all.words("contact", &old.contact, &new.contact);
            all.words("privacy", &old.privacy, &new.privacy);
            all.words("licence", &old.licence, &new.licence);
            let days = (old.retention_days, new.retention_days);
            all.scale(days.0, days.1, || format!("retention_days {} becomes {}", days.0, days.1));
        }
    }
    // The publisher has no `since` that could be raised.
    found.extend(
        all.0
            .into_iter()
            .map(|(change, detail)| difference(change, "the publisher".to_owned(), detail, false)),
    );
}

/// It collects nothing, so nothing is wider.
fn commands(old: Option<&str>, new: Option<&str>, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    let named = |typed: Option<&str>| typed.map_or("none".to_owned(), |typed| format!("{typed:?}"));
    let detail = format!("{} becomes {}", named(old), named(new));
    found.push(difference(Change::Reworded, "the telemetry command".to_owned(), detail, false));
}

fn spans(old: &Span, new: &Span, all: &mut Details) {
    all.scale(old.level, new.level, || format!("level {} becomes {}", old.level, new.level));
    all.audience(old.audience, new.audience);
    all.times((old.since, old.until), (new.since, new.until));
    all.words("sentence", &old.sentence, &new.sentence);
    all.words("why", &old.why, &new.why);
}

fn data_points(old: &DataPoint, new: &DataPoint, all: &mut Details) {
    kinds(&old.kind, &new.kind, all);
    all.list("on", &old.on, &new.on);
    all.audience(old.audience, new.audience);
    all.times((old.since, old.until), (new.since, new.until));
    all.words("sentence", &old.sentence, &new.sentence);
    all.words("why", &old.why, &new.why);
}

fn kinds(old: &Kind, new: &Kind, all: &mut Details) {
    match (old, new) {
        (Kind::Integer { min: old_min, max: old_max }, Kind::Integer { min, max }) => {
            all.scale(min, old_min, || format!("min {old_min} becomes {min}"));
            all.scale(old_max, max, || format!("max {old_max} becomes {max}"));
        }
        (Kind::Command(old), Kind::Command(new)) | (Kind::Set(old), Kind::Set(new)) => {
            all.list("values", old, new)
        }
        (
            Kind::Moniker { prefixes: old_prefixes, suffixes: old_suffixes },
            Kind::Moniker { prefixes, suffixes },
        ) => {
            all.list("prefixes", old_prefixes, prefixes);
            all.list("suffixes", old_suffixes, suffixes);
        }
        (old, new) if old.name() == new.name() => {}
        (old, new) => all.push(Change::Wider, format!("kind {} becomes {}", old.name(), new.name())),
    }
}
