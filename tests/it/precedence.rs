//! Which of the variables, the machine's policy, the user's choice, and the tool's default wins, with real
//! files. `src/consent/decide.rs` has the table of the decision itself.

use serde_json::Value;
use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, OTHER_UID, TestUser, example, is_root};

/// The notice of this version was shown, and named `DEAD_ENDPOINT`.
pub(crate) const SAW_NOTICE: &str = "[notice]\n\"operator+the-tests+http-127.0.0.1-9\" = \"2.0.0\"\n";

/// The columns: the choice file, and whether the tool is opt-in. The notice was shown.
const COLUMNS: [(&str, bool); 8] = [
    ("SAW_NOTICE", false),
    ("SAW_NOTICE", true),
    ("telemetry = \"on\"\nSAW_NOTICE", false),
    ("telemetry = \"on\"\nSAW_NOTICE", true),
    ("telemetry = \"off\"\n", false),
    ("telemetry = \"off\"\n", true),
    ("telemetry = \"o", false),
    ("telemetry = \"o", true),
];

/// The rows: the policy, and the expected result in each column.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 8]); 9] = [
    ("", [
        "on default", "off opt_in", "on person", "on person",
        "off person", "off person", "off choice_unreadable", "off choice_unreadable",
    ]),
    ("[tool.frob]\ntelemetry = \"off\"\n", [
        "off policy", "off policy", "off policy", "off policy",
        "off policy", "off policy", "off policy", "off policy",
    ]),
    ("[tool.frob]\nendpoint = \"http://127.0.0.1:19\"\n", [
        "on default", "off opt_in", "on person", "on person",
        "off person", "off person", "off choice_unreadable", "off choice_unreadable",
    ]),
    ("[tool.frob]\ndata_points = [\"frob.command\"]\n", [
        "on default", "off opt_in", "on person", "on person",
        "off person", "off person", "off choice_unreadable", "off choice_unreadable",
    ]),
    ("telemetry = \"off\"\n", [
        "off policy", "off policy", "off policy", "off policy",
        "off policy", "off policy", "off policy", "off policy",
    ]),
    // A tool's table cannot turn on telemetry that is off for all tools.
    ("telemetry = \"off\"\n[tool.frob]\nendpoint = \"http://127.0.0.1:19\"\n", [
        "off policy", "off policy", "off policy", "off policy",
        "off policy", "off policy", "off policy", "off policy",
    ]),
    ("telemtry = \"off\"\n[tool.frob]\n", [
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
    ]),
    ("[tool.Frob]\ntelemetry = \"off\"\n", [
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
    ]),
    ("[tool.frob]\ntelemetry = off\n", [
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
    ]),
];

fn user(choice: &str, is_opt_in: bool) -> TestUser {
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
    let user = if is_opt_in { user.with_tool_setting("FROB_OPT_IN", "1") } else { user };
    let directory = user.home().join(".config/frob");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("telemetry.toml"), choice.replace("SAW_NOTICE", SAW_NOTICE))
        .expect("a file");
    user
}

/// Runs commands on a machine with this policy.
pub(crate) fn with_policy(policy: &str, user: &TestUser, commands: &str) -> String {
    std::fs::write(user.home().join(".policy"), policy).expect("a file");
    let copy = format!("cp {}/.policy policy.toml", user.home().display());
    on_machine(if policy.is_empty() { ":" } else { &copy }, user, commands)
}

/// Runs commands on a machine that `prepare` set up in the directory of the policy: in a mount namespace with
/// its own `/etc`.
pub(crate) fn on_machine(prepare: &str, user: &TestUser, commands: &str) -> String {
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/tool-telemetry && cd /etc/tool-telemetry && {{ {prepare}; }} &&
        cd / && frob() {{ $AS {} \"$@\"; }} && {commands}",
        example("frob").display()
    );
    let output = user.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the tool once on a machine with this policy. Returns `status`.
fn run_with_policy(policy: &str, user: &TestUser) -> Value {
    let status = with_policy(policy, user, "frob build >/dev/null && frob telemetry status --json");
    serde_json::from_str(&status).expect("JSON")
}

#[test]
fn every_combination_of_settings_has_the_expected_result() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    for (policy, row) in TABLE {
        for ((choice, is_opt_in), expected) in COLUMNS.into_iter().zip(row) {
            let decision = |status: &Value| {
                format!("{} {}", status["telemetry"].as_str().unwrap(), status["reason"].as_str().unwrap())
            };
            let with = format!("{policy:?} {choice:?} {is_opt_in}");

            let user = user(choice, is_opt_in);
            let status = run_with_policy(policy, &user);
            assert_eq!(decision(&status), expected, "{with}");
            let is_on = expected.starts_with("on ");
            assert_eq!(user.pending_runs().len(), usize::from(is_on), "{with}");

            // A variable comes first, and can only turn off.
            let user = self::user(choice, is_opt_in).with("FROB_TELEMETRY_OPTOUT", "1");
            let status = run_with_policy(policy, &user);
            assert_eq!(decision(&status), "off variable", "{with}");
            assert!(user.pending_runs().is_empty(), "{with}");
            let user = self::user(choice, is_opt_in).with("FROB_TELEMETRY_OPTOUT", "0");
            assert_eq!(decision(&run_with_policy(policy, &user)), expected, "{with}");
        }
    }
}

#[test]
fn a_policy_redirects_narrows_and_reports_its_errors() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let on = "telemetry = \"on\"\nSAW_NOTICE";
    // The policy's endpoint wins over the variable's.
    let redirected = user(on, false);
    let status = run_with_policy("[tool.frob]\nendpoint = \"http://127.0.0.1:19\"\n", &redirected);
    assert_eq!(status["destination"]["origin"], "http://127.0.0.1:19");
    assert_eq!(status["destination"]["chosen_by"], "operator");
    assert!(redirected.pending_runs()[0].starts_with(redirected.spool("http://127.0.0.1:19")));
    // Only the listed data points are recorded.
    let narrowed = user(on, false);
    run_with_policy("[tool.frob]\ndata_points = [\"frob.command\"]\n", &narrowed);
    let run = std::fs::read_to_string(&narrowed.pending_runs()[0]).expect("a run");
    assert!(run.contains("frob.command"), "{run}");
    for key in ["process.exit.code", "frob.color", "frob.number"] {
        assert!(!run.contains(key), "{key}: {run}");
    }
    // A warning names the file and the line.
    let status = run_with_policy("[tool.frob]\ntelemetry = off\n", &user(on, false));
    let warning = status["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("/etc/tool-telemetry/policy.toml, line 2 is not valid"), "{warning}");
    // A table for another tool does not apply.
    let other = user(on, false);
    let status = run_with_policy("[tool.other]\ntelemetry = \"off\"\n", &other);
    assert_eq!((&status["telemetry"], &status["reason"]), (&"on".into(), &"person".into()));
}

/// How the administrator left the file, and the warning of `status`; none if telemetry is on.
const FILES: [(&str, &str); 25] = [
    (":", ""),
    ("rmdir /etc/tool-telemetry", ""),
    ("echo 'data_points = []' > real && ln -s real policy.toml", ""),
    ("echo 'data_points = []' > /etc/real && ln -s /etc/real one && ln -s one policy.toml", ""),
    ("printf '# of Windows\\r\\ndata_points = []\\r\\n' > policy.toml", ""),
    ("echo > policy.toml && chmod 664 policy.toml", ""),
    ("ln -s nowhere policy.toml", "policy.toml cannot be used: it is a broken link"),
    ("ln -s /nowhere/policy.toml policy.toml", "policy.toml cannot be used: it is a broken link"),
    (
        "rmdir /etc/tool-telemetry && ln -s nowhere /etc/tool-telemetry",
        "policy.toml cannot be used: it is a broken link",
    ),
    ("ln -s policy.toml policy.toml", "policy.toml cannot be used: Too many levels of symbolic links"),
    ("mkdir policy.toml", "policy.toml cannot be used: it is not a regular file"),
    ("mkfifo policy.toml", "policy.toml cannot be used: it is not a regular file"),
    ("ln -s /dev/null policy.toml", "policy.toml cannot be used: it is not a regular file"),
    (
        "cd / && rmdir /etc/tool-telemetry && echo 'telemetry = \"off\"' > /etc/tool-telemetry",
        "policy.toml cannot be used: Not a directory",
    ),
    ("echo > policy.toml && chmod 666 policy.toml", "policy.toml cannot be used: everyone can write it"),
    (
        "echo > policy.toml && chown 12345 policy.toml",
        "policy.toml cannot be used: it belongs to neither root nor",
    ),
    ("echo > policy.toml && chmod 777 .", "policy.toml cannot be used: another user could replace the file"),
    (
        "echo > policy.toml && chown 12345 .",
        "policy.toml cannot be used: another user could replace the file",
    ),
    (
        "head -c 70000 /dev/zero | tr '\\0' '\\n' > policy.toml",
        "policy.toml cannot be used: it is larger than 64 KiB",
    ),
    ("printf '\\n\\377\\376' > policy.toml", "policy.toml, line 2 is not valid: this is not UTF-8"),
    ("printf '#\\n#\\0\\n' > policy.toml", "policy.toml, line 2 is not valid: there is a control character"),
    (
        "printf '#\\rtelemetry = \"off\"\\n' > policy.toml",
        "policy.toml, line 1 is not valid: there is a control character",
    ),
    (
        "printf '\\357\\273\\277#\\n' > policy.toml",
        "policy.toml, line 1 is not valid: the file begins with a byte-order mark",
    ),
    ("echo '[tool.FROB]' > policy.toml", "policy.toml, line 1 is not valid: a tool's name is in lower case"),
    (
        "echo 'telemetry = \"off' > policy.toml",
        "policy.toml, line 1 is not valid: the closing quote is missing",
    ),
];

#[test]
fn an_unusable_policy_file_means_off() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    for (prepare, why) in FILES {
        let user = user("telemetry = \"on\"\nSAW_NOTICE", false);
        let status = on_machine(prepare, &user, "frob build >/dev/null && frob telemetry status --json");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let warning = status["warnings"][0].as_str().unwrap_or_default();
        let is_on = why.is_empty();
        assert_eq!(status["telemetry"] == "on", is_on, "{prepare}: {status}");
        assert_eq!(user.pending_runs().len(), usize::from(is_on), "{prepare}");
        assert_eq!(warning.is_empty(), is_on, "{prepare}: {warning}");
        assert!(is_on || warning.starts_with(&format!("/etc/tool-telemetry/{why}")), "{prepare}: {warning}");
    }
}

#[test]
fn an_unreadable_policy_means_off() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    for prepare in ["chmod 700 .", "touch policy.toml && chmod 600 policy.toml"] {
        let user = user("telemetry = \"on\"\nSAW_NOTICE", false)
            .with("AS", &format!("setpriv --reuid {OTHER_UID} --regid {OTHER_UID} --clear-groups"));
        user.chown_home(OTHER_UID);
        let status = on_machine(prepare, &user, "frob build >/dev/null && frob telemetry status");
        assert!(status.contains("/policy.toml cannot be used: Permission denied"), "{prepare}: {status}");
        assert!(user.pending_runs().is_empty(), "{prepare}");
    }
}

#[test]
fn a_dangling_link_to_the_choice_file_means_off() {
    for link in ["telemetry.toml", "", ".."] {
        // In CI an operator gets runs without a prior notice.
        let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).with("CI", "1");
        let link = match link {
            ".." => user.home().join(".config"),
            "" => user.home().join(".config/frob"),
            file => user.home().join(".config/frob").join(file),
        };
        std::fs::create_dir_all(link.parent().expect("a directory")).expect("a directory");
        std::os::unix::fs::symlink("/not/mounted", &link).expect("a link");
        user.run_frob(["build"]);
        assert!(user.pending_runs().is_empty(), "{}", link.display());
        assert!(user.status().contains("off: the file with your choice cannot be read"), "{}", user.status());
    }
}

#[test]
fn a_narrowed_policy_applies_to_pending_runs() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    user.run_frob(["build", "--spans", "1"]);
    std::fs::remove_file(user.spool(&endpoint).join("backoff")).expect("it is there");
    let recorded = std::fs::read_to_string(&user.pending_runs()[0]).expect("a run");
    let narrower = "[tool.frob]\ndata_points = [\"frob.command\"]\n";
    let shown = with_policy(narrower, &user, "frob telemetry show --json");
    with_policy(narrower, &user, "frob telemetry flush");
    let sent = format!("{:?}", receiver.spans());
    for key in ["process.exit.code", "frob.color", "frob.number"] {
        assert!(recorded.contains(key), "{key}: {recorded}");
        assert!(!shown.contains(key), "{key}: {shown}");
        assert!(!sent.contains(key), "{key}: {sent}");
    }
    assert!(shown.contains("frob.command") && sent.contains("frob.command"), "{shown} {sent}");
    // A sent run is shown as it was sent, even without the policy.
    let kept = String::from_utf8(user.run_frob(["telemetry", "show", "--json"]).stdout).expect("text");
    assert!(kept.contains("frob.command") && !kept.contains("frob.number"), "{kept}");
}

#[test]
fn policy_headers_are_read_from_their_file_and_never_stored() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let other = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&other.http_endpoint())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer annas-token");
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/tool-telemetry && cd /etc/tool-telemetry &&
        echo 'x-api-key=of%20the%20machine,x-team=build' > headers && chmod 600 headers &&
        printf '[tool.frob]\\nendpoint = \"{0}\"\\nheaders_file = \"/etc/tool-telemetry/headers\"\\n' > policy.toml &&
        {1} build >/dev/null; exec {1} telemetry flush",
        receiver.http_endpoint(),
        example("frob").display()
    );
    let output = user.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success(), "{output:?}");
    assert_eq!((receiver.traces().len(), other.connections()), (1, 0));
    let request = &receiver.requests()[0];
    assert_eq!(
        (request.header("x-api-key"), request.header("x-team"), request.header("authorization")),
        (Some("of the machine"), Some("build"), None)
    );
    for path in user.files().iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(path).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("machine,x-team") && !text.contains("of%20the"), "{}", path.display());
    }
}
