//! Judging what arrived: nothing that a telemetry.toml does not approve goes further.
//!
//! An unapproved attribute is removed and counted. A span that can be neither a run, nor an approved step, nor a count is
//! rejected. Neither is repeated in an answer, in a counter, or in the log.

mod request;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tool_telemetry_definition::Version;
use tool_telemetry_receiver::wire::{self, Request};

use request::{Context, RequestJudge};

use crate::approvals::{Approvals, ContentHash};
use crate::cells::Tables;
use crate::shape::{Attributes, HASH_KEY, Value};
use crate::store::{Store, StoreError, StoredDefinition};
use crate::time::Hour;
use crate::trace::Trace;

/// The name of a count.
pub const COUNT: &str = "count";
/// Hours after which a run is rejected if its telemetry.toml is still unknown. The files of forks and development builds
/// may never be loaded.
const PATIENCE_HOURS: u32 = 28 * 24;
/// A period is closed 28 days after its end, and a week is left to publish it.
const DAYS_TO_PUBLISH: u32 = 28 + 7;

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

    /// What cells depend on.
    pub fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        for (tool, versions) in &self.tools {
            let command = versions.newest.command_key();
            tables.commands.extend(command.map(|key| (tool.clone(), key.to_owned())));
            let crossings = versions.by_hash.iter().map(|(hash, approvals)| (hash.0, approvals.crossings()));
            tables.crossings.extend(crossings.filter(|(_, crossings)| !crossings.is_empty()));
        }
        tables
    }

    /// Days that each tool's runs are kept.
    pub fn retention(&self) -> HashMap<String, u32> {
        let days =
            |(tool, versions): (&String, &Versions)| Some((tool.clone(), versions.newest.retention_days()?));
        self.tools.iter().filter_map(days).collect()
    }

    /// The tools whose counts go before, or soon after, their period is closed and can be published.
    pub fn short_retention(&self) -> Vec<&str> {
        let is_short = |versions: &Versions| {
            let days = versions.newest.retention_days();
            versions.newest.period().is_some() && days.is_some_and(|days| days < DAYS_TO_PUBLISH)
        };
        let mut tools: Vec<&str> = self
            .tools
            .iter()
            .filter(|(_, versions)| is_short(versions))
            .map(|(tool, _)| tool.as_str())
            .collect();
        tools.sort_unstable();
        tools
    }

    /// Judges a request.
    pub fn judge(&self, request: &Request<'_>, now: Hour) -> Verdict {
        let resources: Vec<Origin<'_>> =
            (0..request.resources()).map(|position| self.origin(request.resource(position))).collect();
        let mut judging = RequestJudge::default();
        judging.count("outside_contract", request.outside.count());
        for violation in &request.violations {
            judging.reject("", ("spans.broken_rule", violation.rule.label()));
        }
        for span in &request.spans {
            let origin = &resources[span.resource as usize];
            let hour = Hour::of_unix_nano(span.start);
            match origin {
                Origin::UnknownTool => {
                    judging
                        .reject("", ("spans.unknown_tool", "no telemetry.toml of this tool is loaded here"));
                }
                Origin::UnknownHash(tool, hash) => {
                    if now.0.saturating_sub(hour.0) <= PATIENCE_HOURS {
                        return Verdict::Unknown(*hash);
                    }
                    let reason = "its telemetry.toml has been unknown here for 28 days";
                    judging.reject(tool, ("spans.unknown_data_points", reason));
                }
                Origin::Known { approvals, resource } => {
                    judging.span(request, span, &Context { approvals, resource, now });
                }
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
                    None => return Origin::UnknownHash(&versions.newest.tool, hash),
                }
            }
        };
        Origin::Known { approvals, resource: admit_resource(resource, approvals) }
    }
}

/// The judge's decision about a request.
#[derive(Debug)]
pub enum Verdict {
    /// What may be kept.
    Judged(JudgedRequest),
    /// A run was recorded under a telemetry.toml that is not loaded. Nothing of the request may be kept, and it may come
    /// again. There is no hash if the sender's is not one.
    Unknown(Option<ContentHash>),
}

/// What may be kept of a request.
#[derive(Debug, Default)]
pub struct JudgedRequest {
    /// Traces, each id once.
    pub traces: Vec<Trace>,
    /// Spans that were rejected.
    pub rejected: u64,
    /// Why the first of them was, in words that are the same for all requests.
    pub reason: Option<&'static str>,
    /// What was removed or rejected, by reason.
    pub counts: BTreeMap<&'static str, u64>,
    /// Spans that were rejected, by their tool and by reason. The tool is empty if it is not known here.
    pub rejections: BTreeMap<(String, &'static str), u64>,
}

/// Where the spans of a resource come from.
enum Origin<'a> {
    UnknownTool,
    UnknownHash(&'a str, Option<ContentHash>),
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
