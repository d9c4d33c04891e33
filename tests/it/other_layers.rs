//! Other layers see the same with and without telemetry, in every order.

use crate::test_user::{DEAD_ENDPOINT, TestUser};

/// The stacks of `tests/tool/stacks.rs`, and whether a global filter hides spans from all of their layers.
const STACKS: [(&str, bool); 18] = [
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
    ("and-then-ours", false),
    ("between-env-filter-and-plain", true),
    ("between-filtered-and-plain", false),
    ("before-two-filtered", false),
];

/// Inside of `reload` our layer cannot know its position, so it gives no level hint.
const PLACE_UNKNOWN: [&str; 1] = ["reload"];

/// The witness's output: the lines that it saw with the number of filter calls, and the highest enabled level.
fn witness(user: &TestUser, stack: &str, telemetry: &str) -> (String, String) {
    let output = user.run_frob(["stack", stack, "--telemetry", telemetry]);
    assert!(output.status.success(), "{stack}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let (seen, level) = text.trim_end().rsplit_once('\n').expect("two parts");
    (seen.to_owned(), level.to_owned())
}

#[test]
fn other_layers_see_the_same_with_telemetry_on() {
    for (stack, _) in STACKS {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        let (without, _) = witness(&user, stack, "none");
        let (with, _) = witness(&user, stack, "yes");
        assert_eq!(with, without, "{stack}");
    }
}

#[test]
fn opting_out_leaves_the_level_unchanged() {
    for (stack, _) in STACKS {
        let user = TestUser::sending_to(DEAD_ENDPOINT).with("DO_NOT_TRACK", "1");
        // Without another layer there is nothing to compare.
        if stack != "alone" {
            let (with, without) = (witness(&user, stack, "yes"), witness(&user, stack, "none"));
            assert_eq!(with.0, without.0, "{stack}");
            assert!(with.1 == without.1 || PLACE_UNKNOWN.contains(&stack), "{stack}: {with:?} {without:?}");
        }
    }
}

#[test]
fn a_global_filter_hides_spans_but_not_the_run() {
    for (stack, hidden) in STACKS {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        witness(&user, stack, "yes");
        let shown = String::from_utf8(user.run_frob(["telemetry", "show"]).stdout).expect("text");
        let steps = shown.lines().filter(|line| line.trim().starts_with("step")).count();
        let inner = shown.lines().filter(|line| line.starts_with("    inner")).count();
        assert!(shown.contains("process.exit.code = 0"), "{stack}: {shown}");
        let expected = if hidden { (0, 0) } else { (3, 3) };
        assert_eq!((steps, inner), expected, "{stack}: {shown}");
        assert!(!shown.contains("outer") && !shown.contains("between"), "{stack}: {shown}");
    }
}
