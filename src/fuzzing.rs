//! Entry points for `fuzz/` to the private parsers. Compiled only with `--cfg fuzzing`.
//!
//! Each function panics if a parser breaks an invariant.

use crate::model::data_points::{DataPoints, Value};
use crate::model::hex;
use crate::model::span::{Span, Subject};
use crate::spool::read::read_run;

static DATA_POINTS: DataPoints = crate::data_points!("tests/tool/telemetry.toml");

/// A run file. Everything that is read is approved, and is the same after writing and reading it again.
pub fn run_file(bytes: &[u8]) {
    let Some(run) = read_run(bytes, &DATA_POINTS, "frob") else { return };
    assert!(run.whole <= bytes.len());
    assert!(matches!(run.spans[0].subject, Subject::Run(_)), "the run comes first");
    assert!(run.spans.iter().all(is_admitted));
    let text = run.file(&DATA_POINTS, "frob");
    let again = read_run(text.as_bytes(), &DATA_POINTS, "frob").expect("what we write is read");
    assert_eq!((again.tool("frob"), &again.spans, again.left_out), (run.tool("frob"), &run.spans, 0));
}

fn is_admitted(span: &Span) -> bool {
    let allowed = match span.subject {
        Subject::Run(_) => DATA_POINTS.on_run,
        Subject::Approved(position) => DATA_POINTS.spans[usize::from(position)].data_points,
    };
    span.values.iter().all(|(position, value)| {
        let data_point = &DATA_POINTS.data_points[usize::from(*position)];
        let admitted = match value {
            Value::Integer(number) => data_point.admit_integer(*number),
            Value::Bool(flag) => data_point.admit_bool(*flag),
            text => {
                let mut rendered = String::new();
                data_point.render(text, &mut rendered).expect("a string takes all");
                data_point.admit_text(&rendered)
            }
        };
        allowed.contains(position) && admitted == Some(*value)
    })
}

/// A `traceparent`. An accepted one is the same after writing it again.
pub fn trace_context(text: &str) {
    let Some((trace_id, span_id)) = crate::record::trace_context::parse(text) else { return };
    assert_eq!(&text[3..52], format!("{}-{}", hex::text(&trace_id), hex::text(&span_id)));
    assert!(trace_id != [0; 16] && span_id != [0; 8]);
}
