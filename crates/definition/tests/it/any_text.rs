use proptest::prelude::*;
use tool_telemetry_definition::{Definition, Kind, MAX_INTEGER_VALUES, MAX_SENTENCE, OTHER};

use crate::GOOD;

/// Pieces that files are made of, so that random ones get past the first check.
const PIECES: &[&str] = &[
    "format = 1\n",
    "[publisher]\n",
    "[[span]]\n",
    "[[data_point]]\n",
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

/// What the definition promises whoever reads it.
fn assert_sound(definition: &Definition) {
    for data_point in &definition.data_points {
        assert!(data_point.sentence.chars().count() <= MAX_SENTENCE);
        assert!(!data_point.on.is_empty());
        match &data_point.kind {
            Kind::Integer { min, max } => {
                assert!(min <= max && max.abs_diff(*min) < MAX_INTEGER_VALUES as u64)
            }
            Kind::Command(values) | Kind::Set(values) => {
                assert!(!values.is_empty() && values.iter().all(|value| value.is_ascii() && value != OTHER));
            }
            _ => {}
        }
    }
}

fn read(text: &str) {
    match Definition::parse(text) {
        Ok(definition) => assert_sound(&definition),
        Err(faults) => {
            let lines = text.matches('\n').count() + 1;
            assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line()) && fault.column() > 0));
            assert!(faults.iter().count() > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_pieces_are_read_without_a_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        read(&pieces.concat());
    }

    #[test]
    fn a_good_file_with_something_in_it_is_read_without_a_panic(
        at in 0..GOOD.len(),
        length in 0_usize..20,
        text in prop_oneof![any::<String>(), prop::sample::select(PIECES).prop_map(str::to_owned)],
    ) {
        let end = (at + length).min(GOOD.len());
        read(&(GOOD[..at].to_owned() + &text + &GOOD[end..]));
    }

    #[test]
    fn any_text_as_a_value_is_read_without_a_panic(text in "\\PC{0,90}") {
        for from in ["\"The exit code\"", "\"dotnet.runtimes\"", "\"xunit\"", "\"net\"", "\"-windows\"", "\"2.0\""] {
            read(&GOOD.replace(from, &format!("{text:?}")));
        }
    }
}
