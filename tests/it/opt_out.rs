//! The opt-out variables: no file, no process, and no extra system call.

use std::path::Path;
use std::process::Command;

use crate::test_user::{DEAD_ENDPOINT, TestUser};

/// Variable, value, and whether it opts out.
const VARIABLES: [(&str, &str, bool); 53] = [
    ("FROB_TELEMETRY_OPTOUT", "1", true),
    ("FROB_TELEMETRY_OPTOUT", "true", true),
    ("FROB_TELEMETRY_OPTOUT", "TRUE ", true),
    ("FROB_TELEMETRY_OPTOUT", "yes", true),
    ("FROB_TELEMETRY_OPTOUT", "anything", true),
    ("FROB_TELEMETRY_OPTOUT", "", false),
    ("FROB_TELEMETRY_OPTOUT", "0", false),
    ("FROB_TELEMETRY_OPTOUT", "false", false),
    ("FROB_TELEMETRY_OPTOUT", " No ", false),
    ("FROB_TELEMETRY_OPTOUT", "OFF", false),
    ("FROB_TELEMETRY", "0", true),
    ("FROB_TELEMETRY", "false", true),
    ("FROB_TELEMETRY", "Off", true),
    ("FROB_TELEMETRY", "1", false),
    ("FROB_TELEMETRY", "", false),
    ("FROB_TELEMETRY", " ", false),
    ("FROB_TELEMETRY", "on", false),
    ("FROB_TELEMETRY", "True", false),
    ("FROB_TELEMETRY", " YES\r", false),
    ("FROB_TELEMETRY", "otlp", false),
    ("FROB_TELEMETRY", "trace", false),
    ("FROB_TELEMETRY", "no", true),
    ("FROB_TELEMETRY", "off\r", true),
    ("FROB_TELEMETRY", "disabled", true),
    ("FROB_TELEMETRY", "none", true),
    ("FROB_TELEMETRY", "n", true),
    ("FROB_TELEMETRY", "never", true),
    ("FROB_TELEMETRY", "opt-out", true),
    ("FROB_TELEMETRY", "fasle", true),
    ("FROB_TELEMETRY", "\"off\"", true),
    ("FROB_TELEMETRY", "enabled", true),
    ("FROB_TELEMETRY", "-1", true),
    ("FROB_TELEMETRY", "aus", true),
    ("DO_NOT_TRACK", "1", true),
    ("DO_NOT_TRACK", "yes", true),
    ("DO_NOT_TRACK", "1\r", true),
    ("DO_NOT_TRACK", "ture", true),
    ("DO_NOT_TRACK", "0", false),
    ("DO_NOT_TRACK", "false", false),
    ("OTEL_SDK_DISABLED", "true", true),
    ("OTEL_SDK_DISABLED", "True", true),
    ("OTEL_SDK_DISABLED", "true\r", true),
    ("OTEL_SDK_DISABLED", "\"true\"", true),
    ("OTEL_SDK_DISABLED", "false", false),
    // For OpenTelemetry any value but `true` means false. `status` warns.
    ("OTEL_SDK_DISABLED", "1", false),
    ("OTEL_TRACES_EXPORTER", "none", true),
    ("OTEL_TRACES_EXPORTER", " NONE ", true),
    ("OTEL_TRACES_EXPORTER", "'none'", true),
    ("OTEL_TRACES_EXPORTER", "console, none", true),
    ("OTEL_TRACES_EXPORTER", "off", true),
    ("OTEL_TRACES_EXPORTER", "otlp", false),
    ("OTEL_TRACES_EXPORTER", "console", false),
    ("OTEL_TRACES_EXPORTER", "", false),
];

#[test]
fn each_variable_opts_out_with_its_values() {
    for (name, value, opts_out) in VARIABLES {
        let user = TestUser::sending_to(DEAD_ENDPOINT).with(name, value);
        assert!(user.run_frob(["build"]).status.success());
        assert_eq!(user.pending_runs().is_empty(), opts_out, "{name}={value:?}");
    }
}

#[test]
fn a_non_unicode_value_opts_out() {
    #[cfg(unix)]
    let value = std::os::unix::ffi::OsStringExt::from_vec(b"\xff\xfe".to_vec());
    // Half of a pair of units.
    #[cfg(windows)]
    let value = std::os::windows::ffi::OsStringExt::from_wide(&[0xd800]);
    let value: std::ffi::OsString = value;
    for name in ["FROB_TELEMETRY", "FROB_TELEMETRY_OPTOUT", "DO_NOT_TRACK"] {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        assert!(user.frob_command(["build"]).env(name, &value).status().expect("it runs").success());
        assert!(user.pending_runs().is_empty(), "{name}");
    }
}

#[test]
fn status_lists_the_valid_values_of_a_misspelt_variable() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).with("FROB_TELEMETRY", "fasle");
    let status = user.status();
    assert!(
        status.starts_with("telemetry of frob is off: the environment variable FROB_TELEMETRY\n"),
        "{status}"
    );
    assert!(status.contains("FROB_TELEMETRY has an unknown value, which means off"), "{status}");
    for word in ["off", "on", "log", "trace", "otlp"] {
        assert!(status.contains(word), "{word}: {status}");
    }
    assert!(!status.contains("fasle"), "{status}");
    let user = TestUser::sending_to(DEAD_ENDPOINT).with("OTEL_SDK_DISABLED", "ture");
    let status = user.status();
    assert!(
        status.contains("OTEL_SDK_DISABLED is neither true nor false") && !status.contains("ture"),
        "{status}"
    );
}

#[test]
fn opting_out_creates_and_deletes_no_file() {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    user.run_frob(["build"]);
    // After a flush no uploader is running.
    assert!(!user.flush());
    let before = user.files();
    let user = user.with("DO_NOT_TRACK", "1");
    for end in ["return=0", "return=7", "exit=3", "panic", "abort"] {
        user.run_frob(["build", "--end", end]);
    }
    assert_eq!(user.files(), before);
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn opting_out_adds_no_system_call() {
    use crate::system_calls::{Call, Tracer};

    let calls = |user: &TestUser, telemetry: &str| {
        let program = user.frob_command(["stack", "before-plain", "--telemetry", telemetry]);
        let traced = Tracer::of(program).following_children().run();
        assert!(traced.output.status.success());
        // Process ids, pipes, and directories differ in each run.
        let home = user.home().to_string_lossy();
        let alike =
            |call: &Call| call.to_string().replace(&*home, "~").replace(|it: char| it.is_ascii_digit(), "");
        let mut calls: Vec<String> = traced.calls.iter().map(alike).collect();
        // `/proc/self/maps` is read in a varying number of pieces.
        calls.dedup_by(|next, call| next == call && call.starts_with("read(/proc/"));
        calls
    };
    for (name, value, opts_out) in VARIABLES {
        if opts_out {
            let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).with(name, value);
            // `bare` never calls the library.
            let (with, without) = (calls(&user, "yes"), calls(&user, "bare"));
            assert!(without.len() > 10, "{without:?}");
            assert_eq!(with, without, "{name}={value}");
        }
    }
}

/// A program of its own, so that the rest is not rebuilt.
const PACKAGED: &str = r#"
static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("telemetry.toml");

fn main() -> std::process::ExitCode {
    let telemetry = tool_telemetry::Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).start();
    println!("{}", telemetry.status());
    telemetry.command("build", || ())
}
"#;

#[test]
fn a_build_with_telemetry_off_stays_off() {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = user.home().join("packaged");
    std::fs::create_dir_all(directory.join("src")).expect("a directory");
    let manifest = format!(
        "[package]\nname = \"packaged\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         tool-telemetry = {{ path = {source:?}, default-features = false }}\n"
    );
    std::fs::write(directory.join("Cargo.toml"), manifest).expect("a manifest");
    std::fs::write(directory.join("src/main.rs"), PACKAGED).expect("a program");
    std::fs::copy(source.join("tests/tool/telemetry.toml"), directory.join("telemetry.toml"))
        .expect("a copy");
    std::fs::copy(source.join("Cargo.lock"), directory.join("Cargo.lock")).expect("a copy");
    let build = |switch: &str| {
        Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline"])
            .env("TOOL_TELEMETRY_BUILD", switch)
            .env("CARGO_TARGET_DIR", directory.join("target"))
            .current_dir(&directory)
            .output()
            .expect("cargo runs")
    };
    let misspelt = build("of");
    let message = String::from_utf8_lossy(&misspelt.stderr);
    assert!(!misspelt.status.success(), "a value that is not understood is no build with telemetry");
    assert!(message.contains("TOOL_TELEMETRY_BUILD has an unknown value"), "{message}");
    let built = build("Off");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = user.command(directory.join("target/debug/packaged")).output().expect("it runs");
    assert!(user.pending_runs().is_empty());
    let status = String::from_utf8(output.stdout).expect("text");
    assert!(status.contains("off: this build has telemetry turned off"), "{status}");
}
