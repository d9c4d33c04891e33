//! Reads a run file again, through the same allowlist as when it was written: whatever happened to the file,
//! nothing that is not approved comes out of it.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::model::allowlist::Allowlist;
use crate::model::data_points::{DataPoints, Kind, Value, Version};
use crate::model::hex;
use crate::model::span::{self, Ending, Parent, Span, SpanId, Subject};

/// A run as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordedRun {
    /// `service.version`.
    pub(crate) version: String,
    /// The run's own span first; each span once, as its last line tells it.
    pub(crate) spans: Vec<Span>,
    /// Spans that could not be read; spans and values that are not approved, or may not leave any more.
    pub(crate) left_out: u64,
    /// Bytes of whole lines; a torn last line lies behind.
    pub(crate) whole: usize,
    /// Empty lines: a recovery leaves them in the place of a torn one, one for each span that was in it.
    pub(crate) blank_lines: u32,
}

impl RecordedRun {
    pub(crate) fn ending(&self) -> Ending {
        match self.spans.first().map(|span| span.subject) {
            Some(Subject::Run(ending)) => ending,
            _ => Ending::Running,
        }
    }

    /// Leaves out what may not leave the machine any more; what was in a span that is left out moves to the nearest
    /// one that stays.
    pub(crate) fn keep_only(&mut self, allowlist: &Allowlist) {
        let stays = |span: &Span| match span.subject {
            Subject::Run(_) => true,
            Subject::Approved(position) => allowlist.has_span(position),
        };
        let gone: HashMap<SpanId, Option<Parent>> =
            self.spans.iter().filter(|span| !stays(span)).map(|span| (span.span_id, span.parent)).collect();
        self.spans.retain(stays);
        self.left_out += gone.len() as u64;
        for span in &mut self.spans {
            // A damaged file may have a circle; nobody is further away than all of them.
            for _ in 0..gone.len() {
                let Some(above) = span.parent.and_then(|parent| gone.get(&parent.span_id)) else { break };
                span.parent = *above;
            }
            let before = span.values.len();
            span.values.retain(|(position, _)| allowlist.has(*position));
            self.left_out += (before - span.values.len()) as u64;
        }
        let tells_exit_code =
            allowlist.data_points.exit_code().is_some_and(|position| allowlist.has(position));
        let tells_it_though = matches!(self.ending(), Ending::Exited(_)) && !tells_exit_code;
        if let Some(run) = self.spans.first_mut().filter(|_| tells_it_though) {
            run.subject = Subject::Run(Ending::Running);
            self.left_out += 1;
        }
        span::adopt_orphans(&mut self.spans);
    }

    /// Tells of a run whose process died that it was cut off, at the time of the last thing known of it.
    pub(crate) fn cut_off(&mut self) {
        let last = self.spans.iter().map(|span| span.end).max().unwrap_or_default();
        if let Some(run) = self.spans.first_mut() {
            run.subject = Subject::Run(Ending::CutOff);
            run.end = run.end.max(last);
        }
    }
}

/// Reads the lines of one run; nothing if the run itself is not among them.
pub(crate) fn read_run(bytes: &[u8], data_points: &'static DataPoints, tool: &str) -> Option<RecordedRun> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut reader =
        Reader { data_points, tool, left_out: spans_in(&bytes[whole..]), has_more_than_a_version: false };
    let mut run: Option<(String, Span)> = None;
    let mut spans: Vec<Span> = Vec::new();
    let mut blank_lines = 0;
    for line in bytes[..whole.saturating_sub(1)].split(|byte| *byte == b'\n') {
        if line.iter().all(|byte| *byte == b' ') {
            blank_lines += u32::from(whole > 0);
            continue;
        }
        let Some((version, read)) = reader.line(line) else {
            reader.left_out += spans_in(line);
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
    let left_out =
        reader.left_out + (strays - spans.len()) as u64 + u64::from(reader.has_more_than_a_version);
    spans.insert(0, run);
    span::adopt_orphans(&mut spans);
    Some(RecordedRun { version, spans, left_out, whole, blank_lines })
}

/// How many spans stand, or begin, in bytes that cannot be read; at least one if there is anything.
pub(crate) fn spans_in(bytes: &[u8]) -> u64 {
    // Every span has each of them once. Two, since one may be what is damaged.
    let keys: [&[u8]; 2] = [b"\"traceId\":", b"\"spanId\":"];
    let found = keys.map(|key| bytes.windows(key.len()).filter(|window| *window == key).count() as u64);
    found[0].max(found[1]).max(u64::from(!bytes.is_empty()))
}

struct Reader<'a> {
    data_points: &'static DataPoints,
    tool: &'a str,
    left_out: u64,
    /// Behind the tool's version stood something that is none: we do not write that.
    has_more_than_a_version: bool,
}

impl Reader<'_> {
    /// The tool's version and the line's spans, without those that cannot be read.
    fn line(&mut self, line: &[u8]) -> Option<(String, Vec<Span>)> {
        let json: Json = serde_json::from_slice(line).ok()?;
        let resource = only(json.get("resourceSpans")?)?;
        let version = self.version(resource.get("resource")?.get("attributes")?)?;
        let spans = only(resource.get("scopeSpans")?)?.get("spans")?.as_array()?;
        let read: Vec<Span> = spans.iter().filter_map(|span| self.span(span)).collect();
        self.left_out += (spans.len() - read.len()) as u64;
        Some((version, read))
    }

    /// Of the resource only the tool's version is read, by the rule for every version; the rest is the same in every
    /// run and is written anew.
    fn version(&mut self, attributes: &Json) -> Option<String> {
        let text = |key: &str| {
            attributes
                .as_array()?
                .iter()
                .find(|attribute| attribute.get("key").and_then(Json::as_str) == Some(key))?
                .get("value")?
                .get("stringValue")?
                .as_str()
        };
        if text("service.name")? != self.tool {
            return None;
        }
        let told = text("service.version")?;
        let version = Version::beginning_of(told)?;
        self.has_more_than_a_version |= version != told;
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
                remote: json.get("flags")?.as_u64()? == u64::from(span::FLAGS_REMOTE_PARENT),
            }),
        };
        let mut span = Span {
            trace_id: id_bytes(json.get("traceId")?)?,
            span_id: id_bytes(json.get("spanId")?)?,
            parent,
            subject: Subject::Run(Ending::Running),
            start: Some(start).filter(|start| *start > 0)?,
            end: Some(end).filter(|end| *end >= start)?,
            values: Vec::with_capacity(attributes.len()),
        };
        let is_run =
            attributes.first().is_some_and(|attribute| key_of(attribute) == Some(span::EXECUTABLE_NAME));
        let allowed = if is_run {
            if name != self.tool {
                return None;
            }
            span.subject = Subject::Run(self.ending(attributes));
            self.data_points.on_run
        } else {
            let position = self.data_points.span_in_file(name)?;
            // A span other than the run has a parent.
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

    fn ending(&self, attributes: &[Json]) -> Ending {
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
            (Some(Value::Integer(code)), _) => Ending::Exited(code),
            (_, Some(span::ERROR_CUT_OFF)) => Ending::CutOff,
            _ => Ending::Running,
        }
    }

    /// The value, if it is one that this data point's own rendering gives.
    fn value(&self, allowed: &[u8], key: &str, attribute: &Json) -> Option<(u8, Value)> {
        let position = self.data_points.key_among(allowed, key)?;
        let data_point = &self.data_points.data_points[usize::from(position)];
        let value = attribute.get("value")?.as_object().filter(|value| value.len() == 1)?;
        let value = match (value.iter().next()?, &data_point.kind) {
            ((kind, Json::Bool(flag)), Kind::Bool) if kind == "boolValue" => data_point.admit_bool(*flag)?,
            ((kind, Json::String(text)), Kind::Integer { .. } | Kind::ExitCode) if kind == "intValue" => {
                data_point.admit_integer(text.parse().ok()?)?
            }
            (
                (kind, Json::String(text)),
                Kind::Command(_) | Kind::Set(_) | Kind::Version | Kind::Moniker { .. },
            ) if kind == "stringValue" => {
                // Only what these tables write: a member that they do not have is no `other`, but a value that only
                // other tables can judge.
                let (value, mut written) = (data_point.admit_text(text)?, String::new());
                data_point.render(&value, &mut written).ok().filter(|()| written == *text)?;
                value
            }
            _ => return None,
        };
        Some((position, value))
    }
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

/// Never all zero.
fn id_bytes<const LENGTH: usize>(json: &Json) -> Option<[u8; LENGTH]> {
    hex::parse(json.as_str()?).filter(|id| *id != [0; LENGTH])
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::model::chosen_by::ChosenBy;
    use crate::model::data_points::{ApprovedSpan, Audience};
    use crate::model::span::{LineWriter, Tool};
    use crate::testing::{DATA_POINTS, TOOL, spans};

    /// A run with spans of every kind below it, as its process writes it: its own line first, and once more at the end.
    fn written() -> (Vec<Span>, String) {
        let mut run = spans()[1].clone();
        let mut all = vec![run.clone()];
        for (number, mut span) in
            spans().into_iter().filter(|span| span.subject == Subject::Approved(0)).enumerate()
        {
            span.trace_id = run.trace_id;
            span.values.retain(|(_, value)| *value != Value::Integer(-1));
            span.values.push((3, Value::Integer(7)));
            span.parent = Some(Parent {
                span_id: if number == 1 { all[1].span_id } else { run.span_id },
                remote: false,
            });
            all.push(span);
        }
        run.subject = Subject::Run(Ending::Running);
        let lines = [&run].into_iter().chain(&all[1..]).chain([&all[0]]);
        let text = LineWriter::new(&DATA_POINTS, TOOL).text(lines);
        (all, text)
    }

    /// The same with all spans but the run's own in one line, as a run with many spans is written.
    fn written_in_a_batch() -> (Vec<Span>, String) {
        let (spans, text) = written();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let (writer, mut batch) = (LineWriter::new(&DATA_POINTS, TOOL), Vec::new());
        writer.write(&spans[1], &mut batch);
        spans[2..].iter().for_each(|span| writer.write_into_last_line(span, &mut batch));
        let batch = String::from_utf8(batch).expect("text");
        (spans, [lines[0], &batch, lines[lines.len() - 1]].concat())
    }

    fn read(bytes: &[u8]) -> Option<RecordedRun> {
        let run = read_run(bytes, &DATA_POINTS, TOOL.name)?;
        // What comes out is written as it was, and everything in it is approved.
        let tool = Tool { name: TOOL.name, version: &run.version };
        let text = LineWriter::new(&DATA_POINTS, tool).text(&run.spans);
        for line in text.lines() {
            assert_approved(&serde_json::from_str(line).expect("JSON"), "", &run.version);
        }
        Some(run)
    }

    /// Each text is one that stands in the tables, an id, a number, or looks like a version.
    fn assert_approved(json: &Json, key: &str, version: &str) {
        const TEXTS: [&str; 24] = [
            "weave",
            "resolve",
            "tool-telemetry",
            "opentelemetry",
            "rust",
            "service.name",
            "service.version",
            "telemetry.sdk.name",
            "telemetry.sdk.language",
            "telemetry.sdk.version",
            "telemetry.distro.name",
            "telemetry.distro.version",
            "process.executable.name",
            "process.exit.code",
            "error.type",
            "_OTHER",
            "cut_off",
            "weave.command",
            "weave.verbose",
            "weave.packages",
            "weave.cargo_version",
            "weave.framework",
            "other",
            "build",
        ];
        match json {
            Json::Array(elements) => {
                elements.iter().for_each(|element| assert_approved(element, key, version))
            }
            Json::Object(fields) => {
                fields.iter().for_each(|(key, value)| assert_approved(value, key, version))
            }
            Json::String(text) if ["traceId", "spanId", "parentSpanId"].contains(&key) => {
                assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
            }
            Json::String(text) if ["intValue", "startTimeUnixNano", "endTimeUnixNano"].contains(&key) => {
                assert!(text.parse::<i128>().is_ok(), "{text}");
            }
            Json::String(text) => {
                let rest = text.strip_prefix("net").unwrap_or(text);
                let rest = rest.strip_suffix("-windows").unwrap_or(rest);
                let is_version = crate::model::data_points::Version::parse(rest).is_some();
                assert!(TEXTS.contains(&&**text) || text == "run" || text == version || is_version, "{text}");
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    /// Numbers and flags have their bounds in the tables too.
    fn is_admitted(span: &Span) -> bool {
        let allowed = match span.subject {
            Subject::Run(_) => DATA_POINTS.on_run,
            Subject::Approved(position) => DATA_POINTS.spans[usize::from(position)].data_points,
        };
        span.values.iter().all(|(position, value)| {
            let data_point = &DATA_POINTS.data_points[usize::from(*position)];
            allowed.contains(position)
                && match value {
                    Value::Integer(number) => data_point.admit_integer(*number) == Some(*value),
                    Value::Bool(flag) => data_point.admit_bool(*flag) == Some(*value),
                    _ => true,
                }
        })
    }

    #[test]
    fn what_was_written_is_read_again() {
        let (spans, text) = written();
        let run = read(text.as_bytes()).expect("a run");
        assert_eq!((run.spans, run.left_out, run.whole), (spans, 0, text.len()));
    }

    #[test]
    fn of_a_batch_every_span_is_read_and_of_a_torn_one_each_is_counted() {
        let (spans, text) = written_in_a_batch();
        let run = read(text.as_bytes()).expect("a run");
        assert_eq!((run.spans, run.left_out, run.whole), (spans.clone(), 0, text.len()));
        let ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
        for cut in ends[0] + 2..=ends[1] {
            let run = read(&text.as_bytes()[..cut]).expect("a run");
            let begun = text[ends[0]..cut].matches("{\"traceId\":").count().max(1) as u64;
            assert_eq!((run.spans.len(), run.left_out), (1, begun));
        }
    }

    #[test]
    fn what_hung_under_a_span_that_never_closed_hangs_under_the_run() {
        let (spans, text) = written();
        let lines: Vec<_> =
            text.lines().filter(|line| !line.contains("\"spanId\":\"8585858585858585\"")).collect();
        let run = read(format!("{}\n", lines.join("\n")).as_bytes()).expect("a run");
        assert_eq!(run.spans.len(), spans.len() - 1);
        let parents: Vec<_> = run.spans[1..].iter().map(|span| span.parent).collect();
        assert!(
            parents.iter().all(|parent| *parent == Some(Parent { span_id: spans[0].span_id, remote: false }))
        );
    }

    #[test]
    fn what_may_not_leave_any_more_stays_and_what_was_in_it_moves_up() {
        let approved = |name, audience| ApprovedSpan { name, audience, ..DATA_POINTS.spans[0] };
        let data_points: &DataPoints = Box::leak(Box::new(DataPoints {
            spans: Box::leak(Box::new([
                approved("resolve", Audience::Maker),
                approved("fetch", Audience::Operator),
            ])),
            ..DATA_POINTS
        }));
        let span = |id: u8, parent: u8, subject, values: &[(u8, Value)]| Span {
            span_id: [id; 8],
            parent: (parent > 0).then_some(Parent { span_id: [parent; 8], remote: false }),
            subject,
            values: values.to_vec(),
            ..spans()[0].clone()
        };
        let (verbose, packages) = ((2, Value::Bool(true)), (3, Value::Integer(7)));
        let recorded = RecordedRun {
            version: TOOL.version.to_owned(),
            spans: vec![
                span(1, 0, Subject::Run(Ending::Exited(3)), &[verbose]),
                span(2, 1, Subject::Approved(1), &[packages]),
                span(3, 2, Subject::Approved(1), &[]),
                span(4, 3, Subject::Approved(0), &[packages, verbose]),
                span(5, 4, Subject::Approved(0), &[]),
            ],
            left_out: 0,
            whole: 0,
            blank_lines: 0,
        };
        let kept = |chosen_by, narrowed_to: Option<&[String]>| {
            let mut run = recorded.clone();
            run.keep_only(&Allowlist::for_sending(data_points, chosen_by, narrowed_to));
            run
        };
        assert_eq!(kept(ChosenBy::Operator, None), recorded);

        let for_maker = kept(ChosenBy::Maker, None);
        let expected = [
            recorded.spans[0].clone(),
            span(4, 1, Subject::Approved(0), &[packages, verbose]),
            recorded.spans[4].clone(),
        ];
        assert_eq!((&*for_maker.spans, for_maker.left_out), (&expected[..], 2));

        let narrowed = kept(ChosenBy::Operator, Some(&["weave.packages".to_owned()]));
        assert_eq!(narrowed.ending(), Ending::Running);
        let values: Vec<_> = narrowed.spans.iter().map(|span| &*span.values).collect();
        assert_eq!(values, [&[][..], &[packages], &[], &[packages], &[]]);
        assert_eq!(narrowed.left_out, 3);

        // A damaged file may have a ring.
        let mut ring = recorded.clone();
        ring.spans[1].parent = ring.spans[3].parent;
        ring.keep_only(&Allowlist::for_sending(data_points, ChosenBy::Maker, None));
        assert_eq!(ring.spans, expected);
    }

    #[test]
    fn spans_of_one_name_under_two_targets_come_out_for_whom_they_were_recorded() {
        const fn part(target: &'static str, audience: Audience) -> ApprovedSpan {
            let resolve = &DATA_POINTS.spans[0];
            ApprovedSpan { name: "part", target, audience, until: None, ..*resolve }
        }
        static BOTH: DataPoints = DataPoints {
            telemetry_command: None,
            publisher: None,
            spans: &[part("weave::host", Audience::Operator), part("weave::sight", Audience::Maker)],
            data_points: DATA_POINTS.data_points,
            on_run: DATA_POINTS.on_run,
        };
        for (chosen_by, targets) in [(ChosenBy::Maker, &BOTH.spans[1..]), (ChosenBy::Operator, BOTH.spans)] {
            let allowlist = Allowlist::for_sending(&BOTH, chosen_by, None);
            let run = spans()[1].clone();
            let parts = targets.iter().enumerate().map(|(number, span)| {
                let position = allowlist.span_named(span.name, span.target).expect("it is recorded");
                let (span_id, parent) =
                    ([number as u8 + 1; 8], Some(Parent { span_id: run.span_id, remote: false }));
                let (subject, values) = (Subject::Approved(position), vec![(3, Value::Integer(7))]);
                Span { span_id, parent, subject, values, ..run.clone() }
            });
            let all: Vec<Span> = [run.clone()].into_iter().chain(parts).collect();
            let mut read = read_run(LineWriter::new(&BOTH, TOOL).text(&all).as_bytes(), &BOTH, TOOL.name)
                .expect("a run");
            read.keep_only(&allowlist);
            assert_eq!((read.spans.len(), read.left_out), (all.len(), 0), "{chosen_by:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn of_any_prefix_the_whole_lines_come_out(cut: Index) {
            let (spans, text) = written();
            let cut = cut.index(text.len() + 1);
            let lines = text[..cut].matches('\n').count();
            match read(&text.as_bytes()[..cut]) {
                None => prop_assert_eq!(lines, 0),
                Some(run) => {
                    prop_assert_eq!(run.spans.len(), lines.min(spans.len()));
                    prop_assert_eq!(run.left_out, u64::from(!text[..cut].ends_with('\n')));
                    for (came, went) in run.spans[1..].iter().zip(&spans[1..]) {
                        prop_assert_eq!(&came.values, &went.values);
                    }
                }
            }
        }

        #[test]
        fn any_changed_byte_lets_out_nothing_unapproved_and_nothing_uncounted(
            at: Index,
            byte: u8,
            in_a_batch: bool,
        ) {
            let (spans, text) = if in_a_batch { written_in_a_batch() } else { written() };
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(run) = read(&bytes) {
                prop_assert!(run.spans.iter().all(is_admitted));
                // What does not come out is counted.
                let told = run.spans.len() as u64 + run.left_out;
                prop_assert!(told >= spans.len() as u64, "{} spans, {} left out", run.spans.len(), run.left_out);
            }
        }

        #[test]
        fn any_two_lines_may_change_places(one: Index, other: Index) {
            let (spans, text) = written();
            let mut lines: Vec<_> = text.split_inclusive('\n').collect();
            let count = lines.len();
            lines.swap(one.index(count), other.index(count));
            let run = read(lines.concat().as_bytes()).expect("a run");
            let sorted = |spans: &[Span]| {
                let mut values: Vec<_> = spans.iter().map(|span| (span.span_id, span.values.len())).collect();
                values.sort();
                values
            };
            prop_assert_eq!(sorted(&run.spans), sorted(&spans));
            prop_assert_eq!(run.left_out, 0);
        }

        #[test]
        fn any_bytes_between_the_lines_are_left_out(at: Index, bytes: Vec<u8>) {
            let (spans, text) = written();
            let mut lines: Vec<Vec<u8>> = text.split_inclusive('\n').map(|line| line.as_bytes().to_vec()).collect();
            let at = at.index(lines.len() + 1);
            lines.insert(at, [&bytes[..], b"\n"].concat());
            let run = read(&lines.concat()).expect("a run");
            prop_assert_eq!(run.spans, spans);
        }
    }
}
