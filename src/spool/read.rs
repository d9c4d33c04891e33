//! Reading a run file through the allowlist that was used to write it. Whatever happened to the file, only approved data is
//! read from it.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::model::allowlist::Allowlist;
use crate::model::coarse::coarse;
use crate::model::data_points::{DataPoints, Kind, Value, Version};
use crate::model::hex;
use crate::model::span::{self, Ending, LineWriter, Parent, Span, SpanId, Subject, Tool};

/// A run that was read from its file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordedRun {
    /// `service.version`.
    pub(crate) version: String,
    /// The content hash of the `telemetry.toml` that the run was recorded under. `None` if an older version of the tool
    /// recorded the run without one, or if the hash may be damaged.
    pub(crate) content_hash: Option<String>,
    /// The spans, with the run's own span first. The last line for a span wins.
    pub(crate) spans: Vec<Span>,
    /// Unreadable spans, and spans and values that are not approved or may no longer be sent.
    pub(crate) left_out: u64,
    /// The size of all complete lines in bytes. An incomplete line may follow.
    pub(crate) whole: usize,
    /// Blank lines. Recovery replaces an incomplete line by one for each span in it.
    pub(crate) blank_lines: u32,
}

impl RecordedRun {
    /// The resource of the run's spans.
    pub(crate) fn tool<'a>(&'a self, name: &'a str) -> Tool<'a> {
        Tool { name, version: &self.version, content_hash: self.content_hash.as_deref() }
    }

    /// The content of the run's file. Like the file that its process wrote, it begins and ends with the run's own line,
    /// because two lines confirm the content hash.
    pub(crate) fn file(&self, data_points: &'static DataPoints, tool: &str) -> String {
        LineWriter::new(data_points, self.tool(tool)).text(self.spans.iter().chain(self.spans.first()))
    }

    /// How the run ended, if its file says so.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match self.spans.first()?.subject {
            Subject::Run(ending) => ending,
            Subject::Approved(_) => None,
        }
    }

    /// Removes what may no longer be sent. Children of a removed span move to its nearest remaining ancestor. Returns whether
    /// anything has changed.
    pub(crate) fn keep_only(&mut self, allowlist: &Allowlist) -> bool {
        let left_out = self.left_out;
        let is_kept = |span: &Span| match span.subject {
            Subject::Run(_) => true,
            Subject::Approved(position) => allowlist.has_span(position),
        };
        let removed: HashMap<SpanId, Option<Parent>> =
            self.spans.iter().filter(|span| !is_kept(span)).map(|span| (span.span_id, span.parent)).collect();
        self.spans.retain(is_kept);
        self.left_out += removed.len() as u64;
        for span in &mut self.spans {
            // A damaged file may contain a cycle, so the number of steps is limited.
            for _ in 0..removed.len() {
                let Some(parent) =
                    span.parent.and_then(|removed_parent| removed.get(&removed_parent.span_id))
                else {
                    break;
                };
                span.parent = *parent;
            }
            let before = span.values.len();
            span.values.retain(|(position, _)| allowlist.has_data_point(*position));
            self.left_out += (before - span.values.len()) as u64;
        }
        let may_send_exit_code =
            allowlist.data_points.exit_code().is_some_and(|position| allowlist.has_data_point(position));
        let removes_exit_code = matches!(self.ending(), Some(Ending::Exited(_))) && !may_send_exit_code;
        if let Some(run) = self.spans.first_mut().filter(|_| removes_exit_code) {
            run.subject = Subject::Run(None);
            self.left_out += 1;
        }
        span::adopt_orphans(&mut self.spans);
        let has_exact_times = allowlist.has_coarse_times && self.make_times_coarse();
        self.left_out > left_out || has_exact_times
    }

    /// Returns whether any time was exact, as in a run that a version of the tool recorded that may send exact times.
    fn make_times_coarse(&mut self) -> bool {
        let mut has_changed = false;
        let run_start = self.spans.first().map_or(1, |run| run.start);
        for time in self.spans.iter_mut().flat_map(|span| [&mut span.start, &mut span.end]) {
            let exact = std::mem::replace(time, coarse(*time, run_start));
            has_changed |= exact != *time;
        }
        has_changed
    }

    /// Marks the run of a process that died as cut off, at the last time in it.
    pub(crate) fn cut_off(&mut self) {
        let last = self.spans.iter().map(|span| span.end).max().unwrap_or_default();
        if let Some(run) = self.spans.first_mut() {
            run.subject = Subject::Run(Some(Ending::CutOff));
            run.end = run.end.max(last);
        }
    }
}

/// Reads the lines of one run. Returns `None` if the run's own span is not among them.
pub(crate) fn read_run(bytes: &[u8], data_points: &'static DataPoints, tool: &str) -> Option<RecordedRun> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut reader = LineReader {
        data_points,
        tool,
        left_out: count_spans(&bytes[whole..]),
        has_invalid_version: false,
        hashes: Vec::new(),
    };
    let mut run: Option<(String, Span)> = None;
    let mut spans: Vec<Span> = Vec::new();
    let mut blank_lines = 0;
    for line in bytes[..whole.saturating_sub(1)].split(|byte| *byte == b'\n') {
        if line.iter().all(|byte| *byte == b' ') {
            blank_lines += u32::from(whole > 0);
            continue;
        }
        let Some((version, read)) = reader.line(line) else {
            reader.left_out += count_spans(line);
            continue;
        };
        for span in read {
            match span.subject {
                Subject::Run(_) => match &run {
                    Some((_, first)) if (first.trace_id, first.span_id) != (span.trace_id, span.span_id) => {
                        reader.left_out += 1;
                    }
                    _ => run = Some((version.clone(), span)),
                },
                Subject::Approved(_) => match spans.iter_mut().find(|old| old.span_id == span.span_id) {
                    Some(old) => *old = span,
                    None => spans.push(span),
                },
            }
        }
    }
    let (version, run) = run?;
    let strays = spans.len();
    spans.retain(|span| span.trace_id == run.trace_id && span.span_id != run.span_id);
    let (content_hash, is_hash_damaged) = reader.content_hash();
    let left_out = reader.left_out
        + (strays - spans.len()) as u64
        + u64::from(reader.has_invalid_version)
        + u64::from(is_hash_damaged);
    spans.insert(0, run);
    span::adopt_orphans(&mut spans);
    Some(RecordedRun { version, content_hash, spans, left_out, whole, blank_lines })
}

/// The number of spans that are in, or begin in, unreadable bytes. It is at least 1 unless they are empty.
pub(crate) fn count_spans(bytes: &[u8]) -> u64 {
    // Every span has both keys once, but one of them may be damaged.
    let keys: [&[u8]; 2] = [b"\"traceId\":", b"\"spanId\":"];
    let found = keys.map(|key| bytes.windows(key.len()).filter(|window| *window == key).count() as u64);
    found[0].max(found[1]).max(u64::from(!bytes.is_empty()))
}

struct LineReader<'a> {
    data_points: &'static DataPoints,
    tool: &'a str,
    left_out: u64,
    /// Whether a version had a suffix that we do not write.
    has_invalid_version: bool,
    /// The different content hashes of the lines, and the number of lines with each.
    hashes: Vec<(Option<String>, u32)>,
}

impl LineReader<'_> {
    /// The tool's version and the readable spans of a line.
    fn line(&mut self, line: &[u8]) -> Option<(String, Vec<Span>)> {
        let json: Json = serde_json::from_slice(line).ok()?;
        let resource = only(json.get("resourceSpans")?)?;
        let attributes = resource.get("resource")?.get("attributes")?;
        let version = self.version(attributes)?;
        let spans = only(resource.get("scopeSpans")?)?.get("spans")?.as_array()?;
        let read: Vec<Span> = spans.iter().filter_map(|span| self.span(span)).collect();
        self.left_out += (spans.len() - read.len()) as u64;
        let hash = resource_text(attributes, span::CONTENT_HASH);
        match self.hashes.iter_mut().find(|(known, _)| known.as_deref() == hash) {
            Some((_, lines)) => *lines += 1,
            None => self.hashes.push((hash.map(str::to_owned), 1)),
        }
        Some((version, read))
    }

    /// The content hash of the run, and whether the run has none because it may be damaged.
    ///
    /// A damaged hash looks like any other, and a receiver would wait in vain for its `telemetry.toml`. So all lines
    /// must have the same hash. If there is only one line, for example after a kill, the hash must be this program's
    /// own, which damage does not produce.
    fn content_hash(&mut self) -> (Option<String>, bool) {
        match &mut *self.hashes {
            [] | [(None, _)] => (None, false),
            [(hash @ Some(_), lines)] => {
                let is_own = hash.as_deref() == Some(self.data_points.content_hash);
                let is_confirmed = *lines > 1 && hash.as_deref().is_some_and(is_content_hash);
                let hash = hash.take().filter(|_| is_own || is_confirmed);
                (hash, !(is_own || is_confirmed))
            }
            _ => (None, true),
        }
    }

    /// The tool's version, by the rule for versions.
    fn version(&mut self, attributes: &Json) -> Option<String> {
        if resource_text(attributes, "service.name")? != self.tool {
            return None;
        }
        let written = resource_text(attributes, "service.version")?;
        let version = Version::longest_prefix(written)?;
        self.has_invalid_version |= version != written;
        Some(version.to_owned())
    }

    fn span(&mut self, json: &Json) -> Option<Span> {
        let name = json.get("name")?.as_str()?;
        let attributes = json.get("attributes")?.as_array()?;
        let start = number(json.get("startTimeUnixNano")?)?;
        let end = number(json.get("endTimeUnixNano")?)?;
        let parent = match json.get("parentSpanId") {
            None => None,
            Some(id) => Some(Parent {
                span_id: id_bytes(id)?,
                is_remote: json.get("flags")?.as_u64()? == u64::from(span::FLAGS_REMOTE_PARENT),
            }),
        };
        let mut span = Span {
            trace_id: id_bytes(json.get("traceId")?)?,
            span_id: id_bytes(json.get("spanId")?)?,
            parent,
            subject: Subject::Run(None),
            start: Some(start).filter(|start| *start > 0)?,
            end: Some(end).filter(|end| *end >= start)?,
            values: Vec::with_capacity(attributes.len()),
        };
        let is_run =
            attributes.first().is_some_and(|attribute| key_of(attribute) == Some(span::EXECUTABLE_NAME));
        let allowed = if is_run {
            // The command in the name is that of the data point. A version of the tool that wrote no hash wrote no command.
            let after_tool = name.strip_prefix(self.tool)?;
            if !after_tool.is_empty() && !after_tool.starts_with(' ') {
                return None;
            }
            span.subject = Subject::Run(self.ending(attributes));
            self.data_points.on_run
        } else {
            let position = self.data_points.span_by_name(name)?;
            // Every span except the run has a parent.
            span.parent?;
            span.subject = Subject::Approved(position);
            self.data_points.spans[usize::from(position)].data_points
        };
        for attribute in attributes {
            let Some(key) = key_of(attribute) else {
                self.left_out += 1;
                continue;
            };
            if is_run && [span::EXECUTABLE_NAME, span::ERROR_TYPE].contains(&key) {
                continue;
            }
            match self.value(allowed, key, attribute) {
                Some((position, _)) if self.data_points.exit_code() == Some(position) => {}
                Some((position, value)) => span.set(position, value),
                None => self.left_out += 1,
            }
        }
        Some(span)
    }

    fn ending(&self, attributes: &[Json]) -> Option<Ending> {
        let value = |wanted: &str| {
            attributes.iter().find(|attribute| key_of(attribute) == Some(wanted))?.get("value")
        };
        let code = self.data_points.exit_code().and_then(|position| {
            let data_point = &self.data_points.data_points[usize::from(position)];
            let code = value(data_point.key)?.get("intValue").and_then(Json::as_str)?.parse().ok()?;
            data_point.admit_integer(code)
        });
        let error = value(span::ERROR_TYPE).and_then(|value| value.get("stringValue")).and_then(Json::as_str);
        match (code, error) {
            (Some(Value::Integer(code)), _) => Some(Ending::Exited(code)),
            (_, Some(span::ERROR_CUT_OFF)) => Some(Ending::CutOff),
            _ => None,
        }
    }

    /// The value, if the data point renders it exactly as the attribute has it.
    fn value(&self, allowed: &[u8], key: &str, attribute: &Json) -> Option<(u8, Value)> {
        let position = self.data_points.key_among(allowed, key)?;
        let data_point = &self.data_points.data_points[usize::from(position)];
        let json = attribute.get("value")?.as_object().filter(|value| value.len() == 1)?;
        let value = match data_point.kind {
            Kind::Bool => data_point.admit_bool(json.get("boolValue")?.as_bool()?)?,
            Kind::Integer { .. } | Kind::ExitCode => {
                data_point.admit_integer(json.get("intValue")?.as_str()?.parse().ok()?)?
            }
            Kind::Command(_) | Kind::Set(_) | Kind::Version | Kind::Moniker { .. } => {
                let text = json.get("stringValue")?.as_str()?;
                // An unknown member is left out instead of becoming `other`, because another version may know it.
                let (value, mut written) = (data_point.admit_text(text)?, String::new());
                data_point.render(&value, &mut written).ok().filter(|()| written == text)?;
                value
            }
        };
        Some((position, value))
    }
}

/// The text of a resource attribute. Except for the tool, its version, and the content hash, the resource is the same in
/// every run and is not read.
fn resource_text<'a>(attributes: &'a Json, key: &str) -> Option<&'a str> {
    let attribute = attributes.as_array()?.iter().find(|attribute| key_of(attribute) == Some(key))?;
    attribute.get("value")?.get("stringValue")?.as_str()
}

fn is_content_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn only(json: &Json) -> Option<&Json> {
    match json.as_array()?.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

fn key_of(attribute: &Json) -> Option<&str> {
    attribute.get("key")?.as_str()
}

fn number(json: &Json) -> Option<u64> {
    json.as_str()?.parse().ok()
}

/// An id, which is never all zeros.
fn id_bytes<const LENGTH: usize>(json: &Json) -> Option<[u8; LENGTH]> {
    hex::parse(json.as_str()?).filter(|id| *id != [0; LENGTH])
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests;
