//! `<TOOL>_TELEMETRY=explain` names everything that is left out, why, and what to change.

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, TestUser};

fn explaining() -> TestUser {
    TestUser::sending_to(DEAD_ENDPOINT).with("FROB_TELEMETRY", "explain")
}

fn stderr(user: &TestUser, arguments: &[&str]) -> String {
    String::from_utf8(user.run_frob(arguments).stderr).expect("text")
}

/// The entry of a thing that was left out, with its lines.
#[track_caller]
fn entry<'a>(printed: &'a str, beginning: &str) -> &'a str {
    let entries = printed.split("\n- ").skip(1);
    let found: Vec<&str> = entries.filter(|entry| entry.starts_with(beginning)).collect();
    assert_eq!(found.len(), 1, "{beginning}: {printed}");
    found[0]
}

#[test]
fn a_run_without_mistakes_leaves_out_nothing() {
    let user = explaining();
    let code = "std::process::exit in the middle is explained too";
    for arguments in [&["build", "--spans", "0"][..], &["build", "--spans", "0", "--end", "exit=0"]] {
        let printed = stderr(&user, arguments);
        assert!(printed.starts_with("frob telemetry: this run records\nfrob build  "), "{code}: {printed}");
        assert!(printed.contains("\nand leaves out nothing\n"), "{code}: {printed}");
    }
}

#[test]
fn nothing_is_stored_or_sent() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).with("FROB_TELEMETRY", "explain");
    let before = user.files();
    let printed = stderr(&user, &["build"]);
    assert!(printed.ends_with(&format!("it would go to {}\n", receiver.http_endpoint())), "{printed}");
    assert_eq!((user.files(), receiver.connections()), (before, 0));

    let opted_out = TestUser::new().with("DO_NOT_TRACK", "1").with("FROB_TELEMETRY", "explain");
    let printed = stderr(&opted_out, &["build"]);
    assert!(printed.ends_with("nor without `explain`: the environment variable DO_NOT_TRACK\n"), "{printed}");
    assert!(opted_out.files().is_empty());
}

#[test]
fn each_mistake_is_named_with_its_reason_and_remedy() {
    let printed = stderr(&explaining(), &["buidl", "--spans", "1", "--mistakes"]);
    for (thing, reason, remedy) in [
        ("span `compile` of `frob::build` (3 times)", "not approved. Add", "target = \"frob::build\""),
        ("span `setp`", "not approved, but `step` is", "name = \"setp\""),
        (
            "span `step` of `frob_core::engine`",
            "only for the target `frob`",
            "target = \"frob_core::engine\"",
        ),
        ("span `step` of `frob`", "more verbose", "level = \"debug\""),
        ("`frob.nubmer` on `step`", "but `frob.number` is", "kind = \"integer\""),
        ("`path` on `step`", "not approved. Add", "kind = \"set\""),
        ("`frob.command` on `step`", "approved, but not there", "on = [\"step\"]"),
        ("`frob.threads` on `step`", "not approved. Add", "key = \"frob.threads\""),
        ("`ratio` on `step`", "not approved. Add", "kind = \"integer\""),
        ("`frob.number` on `step`: a number", "outside of 0 to 9999", "max = 9999"),
        ("`frob.number` on `step`: a text", "its kind is integer", "kind = \"set\""),
        ("`frob.number` on `step`: a fraction", "its kind is integer", "whole number"),
        ("`frob.color` on `step`: a flag", "its kind is set", "kind = \"bool\""),
        ("`frob.color` on `step`: a value", "became `other`", "values = "),
        ("`frob.compiler` on `step`: an integer", "its kind is version", "kind = \"integer\""),
        ("`frob.compiler` on `step`: a text", "does not fit the kind version", "`other`"),
        ("`frob.command` on `run`", "a value that is not listed became `other`", "values = "),
        ("`frob.colour` on `run`", "but `frob.color` is", "on = [\"run\"]"),
        ("`frob.color` on `run`: a value", "became `other`", "values = "),
        ("`frob.color` on `run`: an integer", "its kind is set", "kind = \"integer\""),
        ("`frob.number` on `run`", "approved, but not there", "on = [\"run\"]"),
        ("`process.exit.code` on `run`", "the library records it", "Remove"),
        ("spans of the crate `hyper`", "parse_headers, connect", ""),
    ] {
        let entry = entry(&printed, thing);
        assert!(entry.contains(reason) && entry.contains(remedy), "{thing}: {printed}");
    }
    assert!(!printed.contains("never_recorded"), "{printed}");
}

#[test]
fn no_value_is_printed() {
    let printed = stderr(&explaining(), &["buidl", "--spans", "0", "--mistakes"]);
    for value in ["anna", "mauve", "4711", "buidl", "secret"] {
        assert!(!printed.contains(value), "{value}: {printed}");
    }
}

#[test]
fn an_entry_that_does_not_apply_says_which_of_its_lines_decided() {
    let user = TestUser::new().with("FROB_AUTHOR_ENDPOINT", "https://telemetry.example.com/v1/traces");
    let printed = stderr(&user.with("FROB_TELEMETRY", "explain"), &["build", "--spans", "2"]);
    let inner = entry(&printed, "span `inner` of `frob` (2 times)");
    assert!(inner.contains("only operators receive it") && inner.contains("audience = \"maker\""), "{inner}");
}

#[test]
fn a_subscriber_that_loses_spans_is_named() {
    let user = explaining();
    for (stack, thing, reason) in [
        ("none", "all spans", "the layer is missing"),
        ("not-in-use", "all spans", "the layer is missing"),
        ("twice", "all spans", "several telemetry layers"),
        ("before-env-filter", "span `step`", "a filter of the whole subscriber"),
        ("after-env-filter", "span `step`", "a filter of the whole subscriber"),
        ("between-env-filter-and-plain", "span `inner`", "a filter of the whole subscriber"),
    ] {
        let printed = stderr(&user, &["stack", stack]);
        let entry = entry(&printed, thing);
        assert!(entry.contains(reason), "{stack}: {printed}");
    }
    for stack in ["alone", "before-filtered", "after-level", "on-fmt", "boxed", "vec", "reload", "and-then"] {
        let printed = stderr(&user, &["stack", stack]);
        for wrong in ["all spans", "whole subscriber"] {
            assert!(!printed.contains(wrong), "{stack}: {printed}");
        }
    }
}

#[test]
fn a_setup_that_records_nothing_is_named() {
    let user = explaining();
    let printed = stderr(&user, &["start-twice"]);
    assert!(printed.contains("telemetry was started twice in this process"), "{printed}");

    let printed = stderr(&explaining().with_tool_setting("FROB_VERSION", "current"), &["build"]);
    assert!(printed.starts_with("frob telemetry: nothing is recorded: the tool's version"), "{printed}");

    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        let printed = stderr(&user, &["--version"]);
        assert!(printed.starts_with("frob telemetry: no command began"), "{printed}");
    }
    assert_eq!(stderr(&user, &["telemetry", "status"]), "");
}

#[test]
fn other_layers_see_the_same() {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let seen = |user: &TestUser| {
        let log = String::from_utf8(user.run_frob(["stack", "before-filtered"]).stdout).expect("text");
        // How often a layer is asked, and the level, may differ.
        log.split_once("asked").expect("a log").0.to_owned()
    };
    let usual = seen(&user);
    assert_eq!(seen(&user.with("FROB_TELEMETRY", "explain")), usual);
}
