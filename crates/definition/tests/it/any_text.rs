use proptest::prelude::*;
use tool_telemetry_definition::{DataPoints, Kind, MAX_INTEGER_VALUES, MAX_SENTENCE, OTHER};

use crate::GOOD;

/// Pieces of files. Random sequences of them get past the first check.
const PIECES: &[&str] = &[
    "format = 1\n",
    "[publisher]\n",
    "[[span]]\n",
    "[[data_point]]\n",
    "[publish]\n",
    "[[count]]\n",
    "of = ",
    "at_most = ",
    "period = \"week\"\n",
    "releases = ",
    "[\"service.version\"]\n",
    "[span]\n",
    "key = ",
    "on = ",
    "kind = ",
    "values = ",
    "min = ",
    "max = ",
    "name = ",
    "target = ",
    "sentence = ",
    "why = ",
    "since = ",
    "until = ",
    "audience = ",
    "prefixes = ",
    "\"maker\"\n",
    "\"run\"\n",
    "[\"run\"]\n",
    "[\"a\", \"é\"]\n",
    "[]\n",
    "[1, [2]]\n",
    "\"set\"\n",
    "\"integer\"\n",
    "\"moniker\"\n",
    "-9223372036854775808\n",
    "0x7fffffffffffffff\n",
    "1e9\n",
    "{a=1}\n",
    "\"1.0\"\n",
    "\"never\"\n",
    "\"a::b\"\n",
    "\"a.b\"\n",
    "'",
    "\"\"\"",
    "\u{202e}",
    "\u{feff}",
    "\r\n",
    "\0",
    ".",
    "=",
];

/// Checks what an accepted file promises.
fn assert_sound(data_points: &DataPoints) {
    let is_somewhere = |position| {
        let mut on_spans = data_points.spans.iter().flat_map(|span| span.data_points);
        data_points.on_run.contains(&position) || on_spans.any(|found| *found == position)
    };
    for (position, data_point) in (0..).zip(data_points.data_points) {
        assert!(data_point.sentence.chars().count() <= MAX_SENTENCE);
        assert!(is_somewhere(position));
        match &data_point.kind {
            Kind::Integer { min, max } => {
                assert!(min <= max && max.abs_diff(*min) < MAX_INTEGER_VALUES as u64)
            }
            Kind::Command(values) | Kind::Set(values) => {
                assert!(!values.is_empty() && values.iter().all(|value| value.is_ascii() && *value != OTHER));
            }
            _ => {}
        }
    }
}

fn parse(text: &str) {
    match DataPoints::parse(text) {
        Ok(data_points) => assert_sound(data_points),
        Err(errors) => {
            let lines = text.matches('\n').count() + 1;
            assert!(errors.iter().all(|error| (1..=lines).contains(&error.line()) && error.column() > 0));
            assert!(errors.iter().count() > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_without_a_panic(text in any::<String>()) {
        parse(&text);
    }

    #[test]
    fn any_pieces_are_parsed_without_a_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        parse(&pieces.concat());
    }

    #[test]
    fn a_damaged_file_is_parsed_without_a_panic(
        at in 0..GOOD.len(),
        length in 0_usize..20,
        text in prop_oneof![any::<String>(), prop::sample::select(PIECES).prop_map(str::to_owned)],
    ) {
        let end = (at + length).min(GOOD.len());
        parse(&(GOOD[..at].to_owned() + &text + &GOOD[end..]));
    }

    #[test]
    fn any_text_as_a_value_is_parsed_without_a_panic(text in "\\PC{0,90}") {
        for from in ["\"The exit code\"", "\"dotnet.runtimes\"", "\"xunit\"", "\"net\"", "\"-windows\"", "\"2.0\""] {
            parse(&GOOD.replace(from, &format!("{text:?}")));
        }
    }
}
