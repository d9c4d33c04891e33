//! What variables, the machine's policy, the person's choice and the tool's default make of each other, with real
//! files. The decision itself has its table in `src/consent/decide.rs`.

use serde_json::Value;
use tool_telemetry::receiver::Receiver;

use crate::person::{NOBODY, Person, example, is_root};

/// What is in the choice file, and whether the tool asks first: the columns of the table. The notice was shown.
const COLUMNS: [(&str, bool); 8] = [
    ("notice = \"2.0.0\"\n", false),
    ("notice = \"2.0.0\"\n", true),
    ("telemetry = \"on\"\nnotice = \"2.0.0\"\n", false),
    ("telemetry = \"on\"\nnotice = \"2.0.0\"\n", true),
    ("telemetry = \"off\"\n", false),
    ("telemetry = \"off\"\n", true),
    ("telemetry = \"o", false),
    ("telemetry = \"o", true),
];

/// The policy, and what comes out in each column.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 8]); 5] = [
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
    ("[tool.frob]\ntelemetry = off\n", [
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
        "off policy_unreadable", "off policy_unreadable", "off policy_unreadable", "off policy_unreadable",
    ]),
];

fn person(choice: &str, asks_first: bool) -> Person {
    let person = Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY);
    let person = if asks_first { person.whose_tool_has("FROB_OPT_IN", "1") } else { person };
    let folder = person.home().join(".config/frob");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("telemetry.toml"), choice).expect("a file");
    person
}

/// Runs commands on a machine with this policy: in a mount namespace with an `/etc` of its own.
fn under(policy: &str, person: &Person, commands: &str) -> String {
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/tool-telemetry &&
        if test -n \"$POLICY\"; then printf %s \"$POLICY\" > /etc/tool-telemetry/policy.toml; fi &&
        frob() {{ {}  \"$@\"; }} && {commands}",
        example("frob").display()
    );
    let mut command = person.command("unshare");
    let output = command.env("POLICY", policy).args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the tool once on a machine with this policy. Gives `status`.
fn run_under(policy: &str, person: &Person) -> Value {
    let status = under(policy, person, "frob build >/dev/null && frob telemetry status --json");
    serde_json::from_str(&status).expect("JSON")
}

#[test]
fn every_combination_comes_out_as_written_here() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    for (policy, row) in TABLE {
        for ((choice, asks_first), expected) in COLUMNS.into_iter().zip(row) {
            let told = |status: &Value| {
                format!("{} {}", status["telemetry"].as_str().unwrap(), status["reason"].as_str().unwrap())
            };
            let with = format!("{policy:?} {choice:?} {asks_first}");

            let person = person(choice, asks_first);
            let status = run_under(policy, &person);
            assert_eq!(told(&status), expected, "{with}");
            let is_on = expected.starts_with("on ");
            assert_eq!(person.waiting().len(), usize::from(is_on), "{with}");

            // A variable has the first word, and turns off only.
            let person = self::person(choice, asks_first).with("FROB_TELEMETRY_OPTOUT", "1");
            let status = run_under(policy, &person);
            assert_eq!(told(&status), "off variable", "{with}");
            assert!(person.waiting().is_empty(), "{with}");
            let person = self::person(choice, asks_first).with("FROB_TELEMETRY_OPTOUT", "0");
            assert_eq!(told(&run_under(policy, &person)), expected, "{with}");
        }
    }
}

#[test]
fn a_policy_redirects_and_narrows_and_says_where_it_is_wrong() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let on = "telemetry = \"on\"\nnotice = \"2.0.0\"\n";
    // The policy's endpoint, not the variable's.
    let redirected = person(on, false);
    let status = run_under("[tool.frob]\nendpoint = \"http://127.0.0.1:19\"\n", &redirected);
    assert_eq!(status["destination"]["origin"], "http://127.0.0.1:19");
    assert_eq!(status["destination"]["chosen_by"], "operator");
    assert!(redirected.waiting()[0].starts_with(redirected.spool("http://127.0.0.1:19")));
    // Only the data points that it lists, and what every run has.
    let narrowed = person(on, false);
    run_under("[tool.frob]\ndata_points = [\"frob.command\"]\n", &narrowed);
    let run = std::fs::read_to_string(&narrowed.waiting()[0]).expect("a run");
    assert!(run.contains("frob.command"), "{run}");
    for key in ["process.exit.code", "frob.color", "frob.number"] {
        assert!(!run.contains(key), "{key}: {run}");
    }
    // The file and the line.
    let status = run_under("[tool.frob]\ntelemetry = off\n", &person(on, false));
    let warning = status["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("/etc/tool-telemetry/policy.toml, line 2 is not understood"), "{warning}");
    // What is for another tool is not for this one.
    let other = person(on, false);
    let status = run_under("[tool.other]\ntelemetry = \"off\"\n", &other);
    assert_eq!((&status["telemetry"], &status["reason"]), (&"on".into(), &"person".into()));
}

#[test]
fn what_the_policy_forbids_meanwhile_does_not_leave_the_machine() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    person.frob(["build", "--spans", "1"]);
    std::fs::remove_file(person.spool(&endpoint).join("backoff")).expect("it is there");
    let recorded = std::fs::read_to_string(&person.waiting()[0]).expect("a run");
    let narrower = "[tool.frob]\ndata_points = [\"frob.command\"]\n";
    let shown = under(narrower, &person, "frob telemetry show --json");
    under(narrower, &person, "frob telemetry flush");
    let sent = format!("{:?}", receiver.spans());
    for key in ["process.exit.code", "frob.color", "frob.number"] {
        assert!(recorded.contains(key), "{key}: {recorded}");
        assert!(!shown.contains(key), "{key}: {shown}");
        assert!(!sent.contains(key), "{key}: {sent}");
    }
    assert!(shown.contains("frob.command") && sent.contains("frob.command"), "{shown} {sent}");
    // Of a sent run what was sent, also when the policy is gone.
    let kept = String::from_utf8(person.frob(["telemetry", "show", "--json"]).stdout).expect("text");
    assert!(kept.contains("frob.command") && !kept.contains("frob.number"), "{kept}");
}

#[test]
fn a_policys_headers_come_from_its_file_and_lie_nowhere_else() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let elsewhere = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&elsewhere.http_endpoint())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer annas-token");
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/tool-telemetry && cd /etc/tool-telemetry &&
        echo 'x-api-key=of%20the%20machine,x-team=build' > headers && chmod 600 headers &&
        printf '[tool.frob]\\nendpoint = \"{0}\"\\nheaders_file = \"/etc/tool-telemetry/headers\"\\n' > policy.toml &&
        {1} build >/dev/null; exec {1} telemetry flush",
        receiver.http_endpoint(),
        example("frob").display()
    );
    let output = person.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success(), "{output:?}");
    assert_eq!((receiver.traces().len(), elsewhere.connections()), (1, 0));
    let request = &receiver.requests()[0];
    assert_eq!(
        (request.header("x-api-key"), request.header("x-team"), request.header("authorization")),
        (Some("of the machine"), Some("build"), None)
    );
    for path in person.files().iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(path).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("machine,x-team") && !text.contains("of%20the"), "{}", path.display());
    }
}
