//! Beside the layer nobody notices it: the other layers see the same, in whatever order they stand.

use crate::person::{NOBODY, Person};

/// The names in `tests/tool/stacks.rs`, and whether a global filter hides spans from every layer in them.
const STACKS: [(&str, bool); 14] = [
    ("alone", false),
    ("before-plain", false),
    ("after-plain", false),
    ("before-filtered", false),
    ("after-filtered", false),
    ("before-env-filter", true),
    ("after-env-filter", true),
    ("before-level", false),
    ("after-level", false),
    ("on-fmt", false),
    ("boxed", false),
    ("vec", false),
    ("reload", false),
    ("and-then", false),
];

/// What the witness saw: its own lines, how often filters were asked, and the highest level that is enabled.
fn witness(person: &Person, stack: &str, telemetry: &str) -> (String, String) {
    let output = person.frob(["stack", stack, "--telemetry", telemetry]);
    assert!(output.status.success(), "{stack}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let (seen, level) = text.trim_end().rsplit_once('\n').expect("two parts");
    (seen.to_owned(), level.to_owned())
}

#[test]
fn the_other_layers_see_the_same_with_telemetry_on() {
    for (stack, _) in STACKS {
        let person = Person::sending_to(NOBODY);
        let (without, _) = witness(&person, stack, "none");
        let (with, _) = witness(&person, stack, "yes");
        assert_eq!(with, without, "{stack}");
    }
}

#[test]
fn opted_out_not_even_the_level_changes() {
    for (stack, _) in STACKS {
        let person = Person::sending_to(NOBODY).with("DO_NOT_TRACK", "1");
        if stack != "alone" {
            assert_eq!(witness(&person, stack, "yes"), witness(&person, stack, "none"), "{stack}");
        }
    }
}

#[test]
fn the_run_is_always_reported_and_its_spans_unless_a_global_filter_hides_them() {
    for (stack, hidden) in STACKS {
        let person = Person::sending_to(NOBODY);
        witness(&person, stack, "yes");
        let shown = String::from_utf8(person.frob(["telemetry", "show"]).stdout).expect("text");
        let steps = shown.lines().filter(|line| line.trim().starts_with("step")).count();
        let inner = shown.lines().filter(|line| line.starts_with("    inner")).count();
        assert!(shown.contains("process.exit.code = 0"), "{stack}: {shown}");
        let expected = if hidden { (0, 0) } else { (3, 3) };
        assert_eq!((steps, inner), expected, "{stack}: {shown}");
        assert!(!shown.contains("outer") && !shown.contains("between"), "{stack}: {shown}");
    }
}
