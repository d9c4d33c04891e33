//! The differences between two versions of a `telemetry.toml`, for a reviewer.

use std::fmt;

use crate::{ApprovedSpan, Audience, Count, DataPoint, DataPoints, Kind, Publisher, RUN, Version};

/// One difference between two definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Whether more or less is collected.
    pub change: Change,
    /// The entry, such as ``data point `frob.command` ``.
    pub entry: String,
    /// What is different. Empty if the whole entry is new or gone.
    pub detail: String,
    /// Whether more is collected without a new notice to users who saw the old one, because the entry's `since` is not
    /// later than every `since` of the old definition.
    pub is_unannounced: bool,
}

/// Whether more or less is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The old definition does not have the entry.
    New,
    /// More values, spans, or recipients, or a longer time. Another kind counts as wider.
    Wider,
    /// Fewer values, spans, or recipients, or a shorter time.
    Narrower,
    /// The new definition does not have the entry.
    Gone,
    /// The same is collected, but its description differs.
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
        if self.is_unannounced {
            f.write_str(" (raise `since`, or no notice announces it)")?;
        }
        Ok(())
    }
}

/// Compares two definitions: first their publishers, tools, and telemetry commands, then their spans, their data points,
/// and what they count.
///
/// ```
/// use tool_telemetry_definition::{Change, DataPoints, compare};
///
/// let with = |values: &str| {
///     DataPoints::parse(&format!(
///         "format = 1\n[[data_point]]\nkey = 'frob.color'\non = ['run']\nsentence = 'Colours'\nwhy = 'To choose.'\n\
///          kind = 'set'\nvalues = {values}\naudience = 'maker'\nsince = '1.0'\nuntil = 'never'"
///     ))
/// };
/// let differences = compare(with("['never']")?, with("['never', 'always']")?);
/// assert_eq!(differences.len(), 1);
/// assert_eq!(differences[0].change, Change::Wider);
/// assert!(differences[0].is_unannounced);
/// # Ok::<(), tool_telemetry_definition::ParseErrors>(())
/// ```
pub fn compare(old: &DataPoints, new: &DataPoints) -> Vec<Difference> {
    let mut found = Vec::new();
    compare_publishers(old.publisher(), new.publisher(), &mut found);
    compare_names("the tool", old.tool, new.tool, &mut found);
    compare_names("the telemetry command", old.telemetry_command, new.telemetry_command, &mut found);
    if old.times != new.times {
        let change = if new.times > old.times { Change::Wider } else { Change::Narrower };
        let detail = format!("{} becomes {}", old.times, new.times);
        // Times have no `since` to raise.
        found.push(difference(change, "the times for the tool's author".to_owned(), detail, false));
    }
    // The state keeps this version of the notice that a user saw.
    let announced = (old.spans.iter().map(|span| span.since))
        .chain(old.data_points.iter().map(|data_point| data_point.since))
        .max()
        .unwrap_or(Version::new(0, 0, 0));
    compare_entries(
        (old.spans, new.spans),
        |a, b| (a.name, a.target) == (b.name, b.target),
        |span| format!("span `{}` of {}", span.name, span.target),
        |span| span.since <= announced,
        compare_spans,
        &mut found,
    );
    compare_entries(
        (old.data_points, new.data_points),
        |a, b| a.key == b.key,
        |data_point| format!("data point `{}`", data_point.key),
        |data_point| data_point.since <= announced,
        |a, b, details| compare_data_points((old, a), (new, b), details),
        &mut found,
    );
    compare_publications(old, new, &mut found);
    compare_entries(
        (old.counts, new.counts),
        |a, b| a.has_keys(b.of.iter().copied()),
        |count| format!("count of `{}`", count.of.join("` and `")),
        // A count says no more than the runs that a notice announced.
        |_| false,
        compare_counts,
        &mut found,
    );
    found
}

/// The names of the spans that may have a data point.
fn on(data_points: &DataPoints, data_point: &DataPoint) -> Vec<&'static str> {
    let is_on = |positions| data_points.at(positions).any(|found| found.key == data_point.key);
    let spans = data_points.spans.iter().filter(|span| is_on(span.data_points)).map(|span| span.name);
    let mut names: Vec<_> = is_on(data_points.on_run).then_some(RUN).into_iter().chain(spans).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The differences in one entry.
#[derive(Debug, Default)]
struct Details(Vec<(Change, String)>);

impl Details {
    fn push(&mut self, change: Change, detail: impl Into<String>) {
        self.0.push((change, detail.into()));
    }

    /// Compares values of which a greater one collects more.
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

    fn list(&mut self, what: &str, old: &[&str], new: &[&str]) {
        let not_in = |list: &[&str], items: &[&str]| {
            let is_new = |item: &&str| !list.iter().any(|known| known.eq_ignore_ascii_case(item));
            items.iter().copied().filter(is_new).collect::<Vec<_>>().join(", ")
        };
        let (added, removed) = (not_in(old, new), not_in(new, old));
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
        // An earlier `since` collects more.
        self.scale(new.0, old.0, || format!("since {} becomes {}", old.0, new.0));
        let until =
            |until: Option<Version>| until.map_or_else(|| "never".to_owned(), |until| until.to_string());
        // `never` is later than every version.
        let order = |until: Option<Version>| (until.is_none(), until);
        self.scale(order(old.1), order(new.1), || format!("until {} becomes {}", until(old.1), until(new.1)));
    }
}

fn compare_entries<T>(
    (old, new): (&[T], &[T]),
    is_same: impl Fn(&T, &T) -> bool,
    name: impl Fn(&T) -> String,
    is_unannounced: impl Fn(&T) -> bool,
    compare: impl Fn(&T, &T, &mut Details),
    found: &mut Vec<Difference>,
) {
    for entry in old.iter().filter(|old| !new.iter().any(|new| is_same(old, new))) {
        found.push(difference(Change::Gone, name(entry), String::new(), false));
    }
    for entry in new {
        match old.iter().find(|old| is_same(old, entry)) {
            None => found.push(difference(Change::New, name(entry), String::new(), is_unannounced(entry))),
            Some(old) => {
                let mut details = Details::default();
                compare(old, entry, &mut details);
                for (change, detail) in details.0 {
                    found.push(difference(change, name(entry), detail, is_unannounced(entry)));
                }
            }
        }
    }
}

fn difference(change: Change, entry: String, detail: String, is_unannounced: bool) -> Difference {
    Difference {
        change,
        entry,
        detail,
        is_unannounced: is_unannounced && matches!(change, Change::New | Change::Wider),
    }
}

fn compare_publishers(old: Option<&Publisher>, new: Option<&Publisher>, found: &mut Vec<Difference>) {
    let mut details = Details::default();
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => details.push(Change::New, ""),
        (Some(_), None) => details.push(Change::Gone, ""),
        (Some(old), Some(new)) => {
            details.words("name", old.name, new.name);
            details.words("contact", old.contact, new.contact);
            details.words("privacy", old.privacy, new.privacy);
            details.words("licence", old.licence, new.licence);
            let published_at = |publisher: &Publisher| publisher.published_at.unwrap_or("none");
            details.words("published_at", published_at(old), published_at(new));
            let days = (old.retention_days, new.retention_days);
            details.scale(days.0, days.1, || format!("retention_days {} becomes {}", days.0, days.1));
        }
    }
    // A publisher has no `since` to raise.
    found.extend(
        details
            .0
            .into_iter()
            .map(|(change, detail)| difference(change, "the publisher".to_owned(), detail, false)),
    );
}

/// A name collects nothing, so no change of it is wider.
fn compare_names(entry: &str, old: Option<&str>, new: Option<&str>, found: &mut Vec<Difference>) {
    if old == new {
        return;
    }
    let name = |command: Option<&str>| command.map_or("none".to_owned(), |command| format!("{command:?}"));
    let detail = format!("{} becomes {}", name(old), name(new));
    found.push(difference(Change::Reworded, entry.to_owned(), detail, false));
}

/// A shorter period counts the same more often.
fn compare_publications(old: &DataPoints, new: &DataPoints, found: &mut Vec<Difference>) {
    let mut details = Details::default();
    if let (Some(old), Some(new)) = (old.period, new.period) {
        details.scale(new, old, || format!("period {old} becomes {new}"));
    }
    // A greater ε publishes with less noise.
    details.scale(old.epsilon, new.epsilon, || format!("epsilon {} becomes {}", old.epsilon, new.epsilon));
    found.extend(
        details
            .0
            .into_iter()
            .map(|(change, detail)| difference(change, "the publication".to_owned(), detail, false)),
    );
}

fn compare_counts(old: &Count, new: &Count, details: &mut Details) {
    details.scale(old.at_most, new.at_most, || format!("at_most {} becomes {}", old.at_most, new.at_most));
    details.list("releases", old.releases, new.releases);
    details.list("values", old.values, new.values);
}

fn compare_spans(old: &ApprovedSpan, new: &ApprovedSpan, details: &mut Details) {
    details.scale(old.level, new.level, || format!("level {} becomes {}", old.level, new.level));
    details.audience(old.audience, new.audience);
    details.times((old.since, old.until), (new.since, new.until));
    details.words("sentence", old.sentence, new.sentence);
    details.words("why", old.why, new.why);
}

fn compare_data_points(
    (old_file, old): (&DataPoints, &DataPoint),
    (new_file, new): (&DataPoints, &DataPoint),
    details: &mut Details,
) {
    compare_kinds(&old.kind, &new.kind, details);
    details.list("on", &on(old_file, old), &on(new_file, new));
    details.audience(old.audience, new.audience);
    details.times((old.since, old.until), (new.since, new.until));
    details.words("sentence", old.sentence, new.sentence);
    details.words("why", old.why, new.why);
}

fn compare_kinds(old: &Kind, new: &Kind, details: &mut Details) {
    match (old, new) {
        (Kind::Integer { min: old_min, max: old_max }, Kind::Integer { min, max }) => {
            details.scale(min, old_min, || format!("min {old_min} becomes {min}"));
            details.scale(old_max, max, || format!("max {old_max} becomes {max}"));
        }
        (Kind::Command(old), Kind::Command(new)) | (Kind::Set(old), Kind::Set(new)) => {
            details.list("values", old, new)
        }
        (
            Kind::Moniker { prefixes: old_prefixes, suffixes: old_suffixes },
            Kind::Moniker { prefixes, suffixes },
        ) => {
            details.list("prefixes", old_prefixes, prefixes);
            details.list("suffixes", old_suffixes, suffixes);
        }
        (Kind::Bool, Kind::Bool) | (Kind::ExitCode, Kind::ExitCode) | (Kind::Version, Kind::Version) => {}
        (
            Kind::Bool
            | Kind::Integer { .. }
            | Kind::ExitCode
            | Kind::Command(_)
            | Kind::Set(_)
            | Kind::Version
            | Kind::Moniker { .. },
            _,
        ) => details.push(Change::Wider, format!("kind {} becomes {}", old.name(), new.name())),
    }
}
