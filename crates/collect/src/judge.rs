//! Judging what arrived: nothing that a telemetry.toml does not approve goes further.
//!
//! An unapproved attribute is removed and counted. A span that can be neither a run, nor an approved step, nor a count is
//! rejected. Neither is repeated in an answer, in a counter, or in the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tool_telemetry_definition::{RUN, Version};
use tool_telemetry_receiver::wire::{self, Kind, Request};

use crate::approvals::{Admission, Approvals, ContentHash};
use crate::cells::CommandKeys;
use crate::shape::{Attributes, Role, Shape, ShapeContent, Value};
use crate::store::{Store, StoreError, StoredDefinition};
use crate::time::Hour;
use crate::trace::{Span, Trace, TraceId};

/// The resource attribute with the hash of the telemetry.toml that a run was recorded under.
pub const HASH_KEY: &str = "tool_telemetry.data_points";
/// The name of a count.
pub const COUNT: &str = "count";
/// Hours after which a run whose telemetry.toml is still unknown is refused: forks and development builds never end.
const PATIENCE_HOURS: u32 = 28 * 24;
/// The flags that are kept: sampled, and whether the parent is remote. The others could carry anything.
const FLAGS: u32 = 0x301;

/// The words that `telemetry.sdk.language` may have, from OpenTelemetry's conventions.
const LANGUAGES: [&str; 12] =
    ["cpp", "dotnet", "erlang", "go", "java", "nodejs", "php", "python", "ruby", "rust", "swift", "webjs"];

/// The telemetry.toml files that runs are judged by.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: HashMap<String, Versions>,
    texts: Vec<StoredDefinition>,
}

#[derive(Debug)]
struct Versions {
    by_hash: HashMap<ContentHash, Arc<Approvals>>,
    /// Judges the runs that carry no hash.
    newest: Arc<Approvals>,
}

impl Catalog {
    /// Adds a file. The last one that is added for a tool is its newest.
    pub fn add(&mut self, approvals: Approvals, text: String) {
        let approvals = Arc::new(approvals);
        let (tool, hash) = (approvals.tool.clone(), approvals.hash);
        self.texts.push(StoredDefinition { hash: hash.0, tool: tool.clone(), text });
        match self.tools.get_mut(&tool) {
            Some(versions) => {
                versions.by_hash.insert(hash, Arc::clone(&approvals));
                versions.newest = approvals;
            }
            None => {
                let by_hash = [(hash, Arc::clone(&approvals))].into();
                self.tools.insert(tool, Versions { by_hash, newest: approvals });
            }
        }
    }

    /// The files that judged the runs of a store.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of_store(store: &impl Store) -> Result<Self, StoreError> {
        let mut catalog = Self::default();
        for definition in store.definitions()? {
            // A file that a newer version of this program read may hold what this one does not know.
            if let Ok(approvals) = Approvals::parse(&definition.tool, &definition.text) {
                catalog.add(approvals, definition.text);
            }
        }
        Ok(catalog)
    }

    /// The tools, in alphabetical order.
    pub fn tools(&self) -> Vec<&str> {
        let mut tools: Vec<&str> = self.tools.keys().map(String::as_str).collect();
        tools.sort_unstable();
        tools
    }

    /// All files.
    pub fn texts(&self) -> &[StoredDefinition] {
        &self.texts
    }

    /// Each tool's command data point.
    pub fn command_keys(&self) -> CommandKeys {
        let key = |(tool, versions): (&String, &Versions)| {
            Some((tool.clone(), versions.newest.command_key()?.to_owned()))
        };
        self.tools.iter().filter_map(key).collect()
    }

    /// Days that each tool's runs are kept.
    pub fn retention(&self) -> HashMap<String, u32> {
        let days =
            |(tool, versions): (&String, &Versions)| Some((tool.clone(), versions.newest.retention_days()?));
        self.tools.iter().filter_map(days).collect()
    }

    /// Judges a request.
    pub fn judge(&self, request: &Request<'_>, now: Hour) -> Verdict {
        let resources: Vec<Origin<'_>> =
            (0..request.resources()).map(|position| self.origin(request.resource(position))).collect();
        let mut judging = Judging::default();
        judging.count("spans.broken_rule", request.violations.len() as u64);
        judging.count("outside_contract", request.outside.count());
        judging.reason = request.violations.first().map(|violation| violation.rule.label());
        judging.rejected = request.violations.len() as u64;
        for span in &request.spans {
            let origin = &resources[span.resource as usize];
            let hour = Hour::of_unix_nano(span.start);
            match origin {
                Origin::UnknownTool => {
                    judging.reject("spans.unknown_tool", "no telemetry.toml of this tool is loaded here")
                }
                Origin::UnknownHash(hash) => {
                    if now.0.saturating_sub(hour.0) <= PATIENCE_HOURS {
                        return Verdict::Unknown(*hash);
                    }
                    judging.reject(
                        "spans.unknown_data_points",
                        "its telemetry.toml has been unknown here for 28 days",
                    );
                }
                Origin::Known { approvals, resource } => judging.span(request, span, approvals, resource),
            }
        }
        Verdict::Judged(judging.finish())
    }

    fn origin<'a>(&'a self, resource: &[wire::Attribute<'a>]) -> Origin<'a> {
        let text = |key| {
            resource.iter().find_map(|(name, value)| match value {
                wire::Value::String(text) if *name == key => Some(*text),
                _ => None,
            })
        };
        let Some(versions) = text("service.name").and_then(|tool| self.tools.get(tool)) else {
            return Origin::UnknownTool;
        };
        let approvals = match text(HASH_KEY) {
            None => &versions.newest,
            Some(hash) => {
                let hash = ContentHash::parse(hash);
                match hash.and_then(|hash| versions.by_hash.get(&hash)) {
                    Some(approvals) => approvals,
                    None => return Origin::UnknownHash(hash),
                }
            }
        };
        Origin::Known { approvals, resource: admit_resource(resource, approvals) }
    }
}

/// What a request is worth.
#[derive(Debug)]
pub enum Verdict {
    /// What may be kept.
    Judged(Judged),
    /// A run was recorded under a telemetry.toml that is not loaded. Nothing of the request may be kept, and it may come
    /// again. There is no hash if the sender's is not one.
    Unknown(Option<ContentHash>),
}

/// What may be kept of a request.
#[derive(Debug, Default)]
pub struct Judged {
    /// Traces, each id once.
    pub traces: Vec<Trace>,
    /// Spans that were rejected.
    pub rejected: u64,
    /// Why the first of them was, in words that are the same for all requests.
    pub reason: Option<&'static str>,
    /// What was removed or rejected, by reason.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Where the spans of a resource come from.
enum Origin<'a> {
    UnknownTool,
    UnknownHash(Option<ContentHash>),
    Known { approvals: &'a Approvals, resource: Attributes<'a> },
}

fn admit_resource<'a>(resource: &[wire::Attribute<'a>], approvals: &'a Approvals) -> Attributes<'a> {
    let mut admitted: Attributes<'a> = vec![("service.name", Value::Text(&approvals.tool))];
    for (key, value) in resource {
        let wire::Value::String(text) = value else { continue };
        let text = match *key {
            "service.version" | "telemetry.sdk.version" | "telemetry.distro.version" => {
                Version::longest_prefix(text)
            }
            "telemetry.sdk.language" => LANGUAGES.iter().find(|language| *language == text).copied(),
            "telemetry.sdk.name" => (*text == "opentelemetry").then_some(*text),
            "telemetry.distro.name" => (*text == "tool-telemetry").then_some(*text),
            HASH_KEY => ContentHash::parse(text).map(|_| *text),
            _ => None,
        };
        if let Some(text) = text {
            admitted.push((key, Value::Text(text)));
        }
    }
    // An order that senders cannot choose, so that equal shapes are equal.
    admitted[1..].sort_unstable_by_key(|(key, _)| *key);
    admitted
}

#[derive(Default)]
struct Judging {
    spans: Vec<(TraceId, Span)>,
    shapes: HashSet<Arc<Shape>, foldhash::quality::RandomState>,
    rejected: u64,
    reason: Option<&'static str>,
    counts: BTreeMap<&'static str, u64>,
}

impl Judging {
    fn count(&mut self, name: &'static str, number: u64) {
        if number > 0 {
            *self.counts.entry(name).or_default() += number;
        }
    }

    fn reject(&mut self, name: &'static str, reason: &'static str) {
        self.count(name, 1);
        self.rejected += 1;
        self.reason.get_or_insert(reason);
    }

    fn span(
        &mut self,
        request: &Request<'_>,
        span: &wire::Span<'_>,
        approvals: &Approvals,
        resource: &Attributes<'_>,
    ) {
        let role = if span.name == approvals.tool {
            Role::Run
        } else if approvals.has_step(span.name) {
            Role::Step
        } else if span.name == COUNT {
            Role::Count
        } else {
            return self.reject("spans.unapproved", "neither a run nor an approved span");
        };
        if span.kind != Kind::Internal {
            return self.reject("spans.wrong_kind", "the span of a tool is of the kind INTERNAL");
        }
        let attributes = request.attributes(span);
        let Some(attributes) = self.attributes(attributes, span.name, role, approvals) else {
            return self.reject("counts.unapproved", "a count of something that is not approved");
        };
        let start = Hour::of_unix_nano(span.start);
        if role == Role::Count
            && (start.week().first_hour().unix_nano() != span.start || span.parent.is_some())
        {
            return self.reject(
                "counts.wrong_start",
                "a count starts at the beginning of its week and has no parent",
            );
        }
        let shape = self.shape(&ShapeContent {
            resource: resource.clone(),
            role,
            status: span.status,
            flags: span.flags & FLAGS,
            name: span.name,
            attributes,
        });
        let duration = if role == Role::Count { 0 } else { span.end - span.start };
        self.spans.push((
            span.trace_id,
            Span { id: span.span_id, parent: span.parent, hour: start, duration, shape },
        ));
    }

    /// The attributes that are approved. Nothing, if they are those of a count and one is not.
    fn attributes<'a>(
        &mut self,
        attributes: &[wire::Attribute<'a>],
        name: &str,
        role: Role,
        approvals: &Approvals,
    ) -> Option<Attributes<'a>> {
        // A count belongs to one of the tables that its telemetry.toml asks for.
        let table = match role {
            Role::Count => Some(approvals.table(attributes.iter().map(|(key, _)| *key))?),
            Role::Run | Role::Step => None,
        };
        let mut admitted = Vec::with_capacity(attributes.len());
        for (key, value) in attributes {
            let value = match value {
                wire::Value::String(text) => Value::Text(text),
                wire::Value::Bool(flag) => Value::Bool(*flag),
                wire::Value::Int(number) => Value::Int(*number),
            };
            let admission = match (role, *key) {
                (Role::Run, "process.executable.name") => fixed(value, &[&approvals.tool]),
                (Role::Run | Role::Count, "error.type") => fixed(value, &["_OTHER", "cut_off"]),
                (Role::Run, _) => approvals.admits(RUN, key, value),
                (Role::Step, _) => approvals.admits(name, key, value),
                (Role::Count, _) => {
                    table.map_or(Admission::UnknownKey, |table| approvals.admits_in_count(table, key, value))
                }
            };
            match admission {
                Admission::Admitted => admitted.push((*key, value)),
                _ if role == Role::Count => return None,
                Admission::UnknownKey => self.count("attributes.unapproved_key", 1),
                Admission::UnknownValue => self.count("attributes.unapproved_value", 1),
            }
        }
        Some(admitted)
    }

    fn shape(&mut self, content: &ShapeContent<'_>) -> Arc<Shape> {
        let shape = Arc::new(Shape::new(content));
        if let Some(known) = self.shapes.get(&shape) {
            return Arc::clone(known);
        }
        self.shapes.insert(Arc::clone(&shape));
        shape
    }

    fn finish(mut self) -> Judged {
        self.spans.sort_by_key(|(trace, _)| *trace);
        let mut traces: Vec<Trace> = Vec::new();
        let mut spans = self.spans.into_iter().peekable();
        while let Some((id, first)) = spans.next() {
            let mut own = vec![first];
            while let Some((_, span)) = spans.next_if(|(trace, _)| *trace == id) {
                own.push(span);
            }
            traces.push(Trace::new(id, own));
        }
        Judged { traces, rejected: self.rejected, reason: self.reason, counts: self.counts }
    }
}

fn fixed(value: Value<'_>, words: &[&str]) -> Admission {
    match value {
        Value::Text(text) if words.contains(&text) => Admission::Admitted,
        _ => Admission::UnknownValue,
    }
}
