use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::fixtures::{DATA_POINTS, TOOL, spans};
use crate::model::chooser::Chooser;
use crate::model::data_points::{ApprovedSpan, Audience, Times};
use crate::model::span::{LineWriter, Tool};

/// The content hash of a `telemetry.toml` that this build does not know.
const OTHER_HASH: &str = "0123456789abcdef0123456789abcdef";
/// The tool, built with that file.
const OTHER_BUILD: Tool<'static> = Tool { content_hash: Some(OTHER_HASH), ..TOOL };

/// A run with spans of every kind, as its process writes it. Its own line comes first, and again last.
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
            is_remote: false,
        });
        all.push(span);
    }
    run.subject = Subject::Run(None);
    let lines = [&run].into_iter().chain(&all[1..]).chain([&all[0]]);
    let text = LineWriter::new(&DATA_POINTS, OTHER_BUILD).text(lines);
    (all, text)
}

/// The same run with all spans except its own in one line, as later spans of a long run are written.
fn written_in_a_batch() -> (Vec<Span>, String) {
    let (spans, text) = written();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let (writer, mut batch) = (LineWriter::new(&DATA_POINTS, OTHER_BUILD), Vec::new());
    writer.write(&spans[1], &mut batch);
    spans[2..].iter().for_each(|span| writer.write_into_last_line(span, &mut batch));
    let batch = String::from_utf8(batch).expect("text");
    (spans, [lines[0], &batch, lines[lines.len() - 1]].concat())
}

fn read(bytes: &[u8]) -> Option<RecordedRun> {
    let run = read_run(bytes, &DATA_POINTS, TOOL.name)?;
    // Everything that is read is approved when it is written again.
    let text = LineWriter::new(&DATA_POINTS, run.tool(TOOL.name)).text(&run.spans);
    for line in text.lines() {
        assert_approved(&serde_json::from_str(line).expect("JSON"), "", &run.version);
    }
    Some(run)
}

/// Asserts that each text is in the definition, or is an id, a number, or a version.
fn assert_approved(json: &Json, key: &str, version: &str) {
    const TEXTS: [&str; 27] = [
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
        "tool_telemetry.data_points",
        OTHER_HASH,
        DATA_POINTS.content_hash,
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
        Json::Array(elements) => elements.iter().for_each(|element| assert_approved(element, key, version)),
        Json::Object(fields) => fields.iter().for_each(|(key, value)| assert_approved(value, key, version)),
        Json::String(text) if ["traceId", "spanId", "parentSpanId"].contains(&key) => {
            assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        }
        Json::String(text) if ["intValue", "startTimeUnixNano", "endTimeUnixNano"].contains(&key) => {
            assert!(text.parse::<i128>().is_ok(), "{text}");
        }
        Json::String(text) => {
            // The name of a run is the tool's and its command.
            let text = text.strip_prefix("weave ").unwrap_or(text);
            let rest = text.strip_prefix("net").unwrap_or(text);
            let rest = rest.strip_suffix("-windows").unwrap_or(rest);
            let is_version = crate::model::data_points::Version::parse(rest).is_some();
            assert!(TEXTS.contains(&text) || text == "run" || text == version || is_version, "{text}");
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Whether the numbers and flags are within the bounds of the definition.
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
fn a_run_round_trips() {
    let (spans, text) = written();
    let run = read(text.as_bytes()).expect("a run");
    assert_eq!(run.tool(TOOL.name), OTHER_BUILD);
    assert_eq!((run.spans, run.left_out, run.whole), (spans, 0, text.len()));
}

#[test]
fn what_is_written_again_is_the_same_run() {
    let (_, text) = written();
    let mut run = read(text.as_bytes()).expect("a run");
    run.spans.truncate(1);
    let again = read(run.file(&DATA_POINTS, TOOL.name).as_bytes()).expect("a run");
    assert_eq!((again.tool(TOOL.name), &again.spans, again.left_out), (OTHER_BUILD, &run.spans, 0));
}

#[test]
fn a_content_hash_needs_two_lines_unless_it_is_our_own() {
    let run = &spans()[1];
    let line =
        |content_hash: Option<&str>| LineWriter::new(&DATA_POINTS, Tool { content_hash, ..TOOL }).text([run]);
    let [none, own] = [line(None), line(Some(DATA_POINTS.content_hash))];
    let [other, damaged] = [line(Some(OTHER_HASH)), line(Some(&*OTHER_HASH.replace('7', "f")))];
    let invalid = line(Some(&*OTHER_HASH.to_uppercase()));
    for (lines, hash, left_out) in [
        ([&*none, ""], None, 0),
        ([&none, &none], None, 0),
        ([&own, ""], Some(DATA_POINTS.content_hash), 0),
        ([&other, ""], None, 1),
        ([&other, &other], Some(OTHER_HASH), 0),
        ([&other, &damaged], None, 1),
        ([&other, &own], None, 1),
        ([&other, &none], None, 1),
        ([&invalid, &invalid], None, 1),
    ] {
        let run = read(lines.concat().as_bytes()).expect("a run");
        assert_eq!((run.content_hash.as_deref(), run.left_out), (hash, left_out), "{lines:?}");
    }
}

#[test]
fn spans_of_an_incomplete_batch_are_counted() {
    let (spans, text) = written_in_a_batch();
    let run = read(text.as_bytes()).expect("a run");
    assert_eq!((run.spans, run.left_out, run.whole), (spans.clone(), 0, text.len()));
    let ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
    for cut in ends[0] + 2..=ends[1] {
        let run = read(&text.as_bytes()[..cut]).expect("a run");
        let begun = text[ends[0]..cut].matches("{\"traceId\":").count().max(1) as u64;
        // The hash is left out too, because no second line confirms it.
        assert_eq!((run.spans.len(), run.left_out), (1, begun + 1));
    }
}

#[test]
fn orphans_move_under_the_run() {
    let (spans, text) = written();
    let lines: Vec<_> =
        text.lines().filter(|line| !line.contains("\"spanId\":\"8585858585858585\"")).collect();
    let run = read(format!("{}\n", lines.join("\n")).as_bytes()).expect("a run");
    assert_eq!(run.spans.len(), spans.len() - 1);
    let parents: Vec<_> = run.spans[1..].iter().map(|span| span.parent).collect();
    assert!(
        parents.iter().all(|parent| *parent == Some(Parent { span_id: spans[0].span_id, is_remote: false }))
    );
}

#[test]
fn children_of_a_removed_span_move_up() {
    let approved = |name, audience| ApprovedSpan { name, audience, ..DATA_POINTS.spans[0] };
    let data_points: &DataPoints = Box::leak(Box::new(DataPoints {
        spans: Box::leak(Box::new([
            approved("resolve", Audience::Maker),
            approved("fetch", Audience::Operator),
        ])),
        times: Times::Exact,
        ..DATA_POINTS
    }));
    let span = |id: u8, parent: u8, subject, values: &[(u8, Value)]| Span {
        span_id: [id; 8],
        parent: (parent > 0).then_some(Parent { span_id: [parent; 8], is_remote: false }),
        subject,
        values: values.to_vec(),
        ..spans()[0].clone()
    };
    let (verbose, packages) = ((2, Value::Bool(true)), (3, Value::Integer(7)));
    let recorded = RecordedRun {
        version: TOOL.version.to_owned(),
        content_hash: None,
        spans: vec![
            span(1, 0, Subject::Run(Some(Ending::Exited(3))), &[verbose]),
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
    assert_eq!(kept(Chooser::Operator, None), recorded);

    let for_maker = kept(Chooser::Maker, None);
    let expected = [
        recorded.spans[0].clone(),
        span(4, 1, Subject::Approved(0), &[packages, verbose]),
        recorded.spans[4].clone(),
    ];
    assert_eq!((&*for_maker.spans, for_maker.left_out), (&expected[..], 2));

    let narrowed = kept(Chooser::Operator, Some(&["weave.packages".to_owned()]));
    assert_eq!(narrowed.ending(), None);
    let values: Vec<_> = narrowed.spans.iter().map(|span| &*span.values).collect();
    assert_eq!(values, [&[][..], &[packages], &[], &[packages], &[]]);
    assert_eq!(narrowed.left_out, 3);

    // A damaged file may contain a cycle.
    let mut cycle = recorded.clone();
    cycle.spans[1].parent = cycle.spans[3].parent;
    cycle.keep_only(&Allowlist::for_sending(data_points, Chooser::Maker, None));
    assert_eq!(cycle.spans, expected);
}

#[test]
fn spans_with_one_name_and_two_targets_keep_their_audience() {
    const fn part(target: &'static str, audience: Audience) -> ApprovedSpan {
        let resolve = &DATA_POINTS.spans[0];
        ApprovedSpan { name: "part", target, audience, until: None, ..*resolve }
    }
    static BOTH: DataPoints = DataPoints {
        spans: &[part("weave::host", Audience::Operator), part("weave::sight", Audience::Maker)],
        data_points: DATA_POINTS.data_points,
        on_run: DATA_POINTS.on_run,
        ..DataPoints::EMPTY
    };
    for (chosen_by, targets) in [(Chooser::Maker, &BOTH.spans[1..]), (Chooser::Operator, BOTH.spans)] {
        let allowlist = Allowlist::for_sending(&BOTH, chosen_by, None);
        let run = spans()[1].clone();
        let parts = targets.iter().enumerate().map(|(number, span)| {
            let position = allowlist.span_named(span.name, span.target).expect("it is recorded");
            let (span_id, parent) =
                ([number as u8 + 1; 8], Some(Parent { span_id: run.span_id, is_remote: false }));
            let (subject, values) = (Subject::Approved(position), vec![(3, Value::Integer(7))]);
            Span { span_id, parent, subject, values, ..run.clone() }
        });
        let all: Vec<Span> = [run.clone()].into_iter().chain(parts).collect();
        let mut read =
            read_run(LineWriter::new(&BOTH, TOOL).text(&all).as_bytes(), &BOTH, TOOL.name).expect("a run");
        read.keep_only(&allowlist);
        assert_eq!((read.spans.len(), read.left_out), (all.len(), 0), "{chosen_by:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn complete_lines_of_any_prefix_are_read(cut: Index) {
        let (spans, text) = written();
        let cut = cut.index(text.len() + 1);
        let lines = text[..cut].matches('\n').count();
        match read(&text.as_bytes()[..cut]) {
            None => prop_assert_eq!(lines, 0),
            Some(run) => {
                prop_assert_eq!(run.spans.len(), lines.min(spans.len()));
                let is_torn = !text[..cut].ends_with('\n');
                prop_assert_eq!(run.left_out, u64::from(is_torn) + u64::from(lines == 1));
                for (read, written) in run.spans[1..].iter().zip(&spans[1..]) {
                    prop_assert_eq!(&read.values, &written.values);
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_adds_nothing_unapproved_and_loses_nothing_uncounted(
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
            let hash = run.content_hash.as_deref();
            prop_assert!(hash == Some(OTHER_HASH) || (hash.is_none() && run.left_out > 0), "{hash:?}");
            // Spans that are not read are counted.
            let counted = run.spans.len() as u64 + run.left_out;
            prop_assert!(counted >= spans.len() as u64, "{} spans, {} left out", run.spans.len(), run.left_out);
        }
    }

    #[test]
    fn any_two_lines_may_be_swapped(one: Index, other: Index) {
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
    fn foreign_bytes_between_lines_are_left_out(at: Index, bytes: Vec<u8>) {
        let (spans, text) = written();
        let mut lines: Vec<Vec<u8>> = text.split_inclusive('\n').map(|line| line.as_bytes().to_vec()).collect();
        let at = at.index(lines.len() + 1);
        lines.insert(at, [&bytes[..], b"\n"].concat());
        let run = read(&lines.concat()).expect("a run");
        prop_assert_eq!(run.spans, spans);
    }
}
