//! `tool_telemetry::testing`: what a command records, as an author's unit tests state it.

use std::thread;

use tool_telemetry::testing::{self, OmissionReason};
use tool_telemetry::{DataPoints, FieldValue, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/tool/telemetry.toml");

/// A command of a tool.
fn build(telemetry: &Telemetry, steps: u32) -> Result<(), &'static str> {
    telemetry.record("frob.color", "never");
    for number in 0..steps {
        let step = tracing::info_span!(target: "frob", "step", frob.number = number, frob.cached = true);
        step.in_scope(|| tracing::info_span!(target: "frob", "inner", frob.number = number).in_scope(|| {}));
    }
    if steps == 0 { Err("nothing to build") } else { Ok(()) }
}

#[test]
fn a_test_sees_the_run_as_it_would_be_sent() {
    let run =
        testing::record(&DATA_POINTS, |telemetry| telemetry.observe("build", || build(telemetry, 2)).is_ok());
    assert_eq!((run.command(), run.exit_code()), (Some("build"), Some(0)));
    let attributes = [("frob.color", "never"), ("frob.command", "build"), ("process.exit.code", "0")];
    assert_eq!(run.attributes(), attributes);
    let names: Vec<&str> = run.spans().iter().map(|span| span.name()).collect();
    assert_eq!(names, ["step", "inner", "step", "inner"]);
    assert_eq!(run.spans()[2].attributes(), [("frob.cached", "true"), ("frob.number", "1")]);
    assert_eq!(
        run.to_string(),
        "tool build frob.color=never frob.command=build process.exit.code=0\n  \
         step frob.cached=true frob.number=0\n    inner frob.number=0\n  \
         step frob.cached=true frob.number=1\n    inner frob.number=1\n"
    );
    assert_eq!(run.left_out(), []);
}

#[test]
fn a_test_sees_the_failure() {
    let run = testing::record(&DATA_POINTS, |telemetry| telemetry.command("test", || build(telemetry, 0)));
    assert_eq!((run.command(), run.exit_code()), (Some("test"), Some(1)));
    assert_eq!(run.attribute("error.type"), Some("_OTHER"));
}

#[test]
fn a_test_sees_what_is_left_out() {
    let run = testing::record(&DATA_POINTS, |telemetry| {
        telemetry.command("buidl", || {
            telemetry.record("frob.nubmer", 3);
            telemetry.record("frob.color", Some("mauve"));
            telemetry.record("frob.color", None::<String>);
            tracing::info_span!(target: "frob", "step", frob.number = 10_000).in_scope(|| {});
            tracing::info_span!(target: "frob", "compile").in_scope(|| {});
        });
    });
    let left_out: Vec<_> =
        run.left_out().iter().map(|omission| (omission.name(), omission.reason())).collect();
    assert_eq!(
        left_out,
        [
            ("frob.command", &OmissionReason::Other { kind: "command" }),
            ("frob.nubmer", &OmissionReason::NotApproved { similar: Some("frob.number") }),
            ("frob.color", &OmissionReason::Other { kind: "set" }),
            ("frob.number", &OmissionReason::OutOfRange { min: 0, max: 9999 }),
            ("compile", &OmissionReason::NotApproved { similar: None }),
        ]
    );
    assert_eq!((run.command(), run.attribute("frob.color")), (Some("other"), Some("other")));
    assert!(!run.to_string().contains("mauve"), "{run}");
}

#[test]
fn tests_run_at_the_same_time() {
    thread::scope(|scope| {
        for steps in 1..=16 {
            scope.spawn(move || {
                for _ in 0..20 {
                    let run = testing::record(&DATA_POINTS, |telemetry| {
                        telemetry.command("build", || build(telemetry, steps))
                    });
                    assert_eq!(run.spans().len() as u32, 2 * steps, "{run}");
                    assert_eq!(run.left_out(), []);
                }
            });
        }
    });
}

#[test]
fn each_command_is_a_run() {
    let runs = testing::record_all(&DATA_POINTS, |telemetry| {
        telemetry.command("build", || build(telemetry, 1));
        telemetry.command("run", || telemetry.discard());
        telemetry.command("test", || 7);
    });
    let seen: Vec<_> = runs.iter().map(|run| (run.command(), run.exit_code(), run.spans().len())).collect();
    assert_eq!(seen, [(Some("build"), Some(0), 2), (Some("test"), Some(7), 0)]);
}

#[test]
fn a_test_without_a_command_says_what_to_call() {
    for (commands, wanted) in [(0, "call `telemetry.command(…)`"), (2, "use `testing::record_all`")] {
        let panic = thread::spawn(move || {
            testing::record(&DATA_POINTS, |telemetry| {
                for _ in 0..commands {
                    telemetry.command("build", || ());
                }
            })
        });
        let panic = panic.join().expect_err("a panic");
        let formatted = panic.downcast_ref::<String>().map(String::as_str);
        let message = formatted.or(panic.downcast_ref::<&str>().copied()).expect("a text");
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn an_enum_is_a_value() {
    #[derive(FieldValue)]
    enum Color {
        Auto,
        #[field_value("never")]
        Off {
            #[expect(dead_code, reason = "what a variant contains is never read")]
            why: String,
        },
        DryRun,
    }
    let color = |color: Color| {
        let run = testing::record(&DATA_POINTS, |telemetry| {
            telemetry.command("build", || telemetry.record("frob.color", Some(color)));
        });
        run.attribute("frob.color").expect("a value").to_owned()
    };
    assert_eq!(color(Color::Auto), "auto");
    assert_eq!(color(Color::Off { why: "anna".to_owned() }), "never");
    assert_eq!(color(Color::DryRun), "other");
}

#[test]
fn a_span_outside_of_a_command_is_left_out() {
    let runs = testing::record_all(&DATA_POINTS, |telemetry| {
        telemetry.command("build", || ());
        tracing::info_span!(target: "frob", "step").in_scope(|| {});
        telemetry.command("test", || ());
    });
    assert_eq!(runs[1].left_out()[0].reason(), &OmissionReason::NoCommand);
}
