//! What the server says when it cannot start, and how it ends.

use std::fs;
use std::net::TcpListener;

use crate::program::*;

/// What a server that cannot start says.
fn refusal(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = collect(&directory.path().join("store"));
    let output = command.args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn a_port_in_use_is_named_with_the_option_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = program(&["collect", "--http", &address, "--grpc", "127.0.0.1:0"]);
    let directory = tempfile::tempdir().unwrap();
    command.args(["--metrics", "127.0.0.1:0", "--store"]).arg(directory.path());
    let output = command.arg("--data-points").arg(definition()).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains(&format!("{address} is in use by another program")), "{said}");
    assert!(said.contains("`--http`"), "{said}");
}

#[test]
fn a_key_of_another_certificate_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), one.cert.pem()).unwrap();
    fs::write(path("key.pem"), other.signing_key.serialize_pem()).unwrap();
    fs::write(path("empty.pem"), "").unwrap();
    let said = refusal(&["--tls-certificate", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    assert!(said.contains("key.pem does not belong to the certificate"), "{said}");
    let said = refusal(&["--tls-certificate", &path("empty.pem"), "--tls-key", &path("key.pem")]);
    assert!(said.contains("empty.pem cannot be used for TLS: it holds no certificate"), "{said}");
    let said = refusal(&["--tls-certificate", &path("cert.pem"), "--tls-key", &path("gone.pem")]);
    assert!(said.contains("gone.pem cannot be used for TLS"), "{said}");
}

#[test]
fn a_fault_of_a_telemetry_toml_is_named_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("bad.toml"), "format = 1\n\n[publisher]\nname = 7\n").unwrap();
    fs::write(path("nameless.toml"), "format = 1\n").unwrap();
    let said = refusal(&["--data-points", &path("bad.toml")]);
    assert!(said.contains("bad.toml:4:"), "{said}");
    let said = refusal(&["--data-points", &path("nameless.toml")]);
    assert!(said.contains("write `--data-points TOOL="), "{said}");
    let said = refusal(&["--data-points", &path("gone.toml")]);
    assert!(said.contains("gone.toml cannot be read"), "{said}");
    fs::write(path("tokens"), "\n").unwrap();
    assert!(refusal(&["--tokens", &path("tokens")]).contains("holds no token"));
}

#[test]
fn several_files_name_their_tools() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("old.toml"), "format = 1\ntelemetry_command = \"frob telemetry\"\n").unwrap();
    fs::write(path("weave.toml"), "format = 1\ntool = \"weave\"\n").unwrap();
    let served = |files: &[String]| {
        let mut command = program(&["collect", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
        command.args(["--metrics", "127.0.0.1:0", "--check", "--store"]).arg(path("store"));
        for file in files {
            command.args(["--data-points", file]);
        }
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = served(&[path("old.toml")]);
    assert!(code == Some(0) && said.ends_with("it serves frob\n"), "{said}");
    let (code, said) = served(&[path("old.toml"), path("weave.toml")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("old.toml does not tell which tool it belongs to; add `tool ="), "{said}");
    let (code, said) = served(&[format!("frob={}", path("old.toml")), path("weave.toml")]);
    assert!(code == Some(0) && said.ends_with("it serves frob, weave\n"), "{said}");
    let (code, said) = served(&[format!("frob={}", path("weave.toml"))]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("weave.toml is that of the tool \"weave\", not of \"frob\""), "{said}");
}

#[test]
fn a_second_server_on_one_store_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let output = collect(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("another process writes to the store"));
    assert!(server.send(&[1]));
    assert_eq!(exported(directory.path()), ids([1]));
}

#[test]
fn a_check_tries_the_configuration_and_makes_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let output = collect(&store).arg("--check").output().unwrap();
    assert_eq!(text(&output.stdout), "the configuration is fine; it serves dotnet\n");
    assert!(output.status.success() && !store.exists());
}

#[test]
fn a_check_warns_of_runs_that_go_before_their_counts_can_be_published() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("telemetry.toml");
    let text_of = |days: u32| {
        let text = fs::read_to_string(definition()).unwrap();
        text.replace("retention_days = 365", &format!("retention_days = {days}"))
    };
    for (days, is_warned) in [(34, true), (35, false)] {
        fs::write(&file, text_of(days)).unwrap();
        let mut command = program(&["collect", "--check", "--store", "unused", "--data-points"]);
        let said = text(&command.arg(&file).output().unwrap().stdout);
        assert_eq!(said.contains("warning: `retention_days` of dotnet is below 35"), is_warned, "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_definitions_again_and_a_faulty_one_changes_nothing() {
    use rustix::process::Signal;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("telemetry.toml");
    let old = fs::read_to_string(definition()).unwrap();
    let new = old.replace(r#""pack"]"#, r#""pack", "watch"]"#);
    assert_ne!(old, new);
    fs::write(&file, &old).unwrap();
    let store = directory.path().join("store");
    let mut command = program(&["collect", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--metrics", "127.0.0.1:0", "--store"]).arg(&store).arg("--data-points").arg(&file);
    let server = Server::spawn(&mut command);
    let hash = tool_telemetry_collect::approvals::ContentHash::of(&new).to_string();
    let with_hash = |number| {
        let mut request = request(&[number]);
        let resource = request.resource_spans[0].resource.as_mut().unwrap();
        resource.attributes.push(string("tool_telemetry.data_points", &hash));
        prost::Message::encode_to_vec(&request)
    };
    let answer = server.post(PROTOBUF, &with_hash(1)).unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 3600"), "{}", answer.head);
    fs::write(&file, "format = 7").unwrap();
    server.signal(Signal::HUP);
    assert!(server.send(&[2]));
    fs::write(&file, &new).unwrap();
    server.signal(Signal::HUP);
    // A signal is asynchronous.
    while server.post(PROTOBUF, &with_hash(1)).unwrap().status != 200 {
        std::thread::yield_now();
    }
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    assert!(log.contains(&hash), "the log names the hash that was missing: {log}");
    assert!(log.contains("the old one stays"), "{log}");
    assert_eq!(exported(&store), ids([1, 2]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_reads_its_files_again_and_again_does_not_grow() {
    use rustix::process::Signal;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let reload = |times: u32| {
        for _ in 0..times {
            let reloads = |text: String| {
                text.lines()
                    .find_map(|line| line.strip_prefix("tool_telemetry_collect_reloads_total ")?.parse().ok())
            };
            let before: Option<u64> = reloads(server.metrics());
            server.signal(Signal::HUP);
            while reloads(server.metrics()) == before {
                std::thread::yield_now();
            }
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = reload(50);
    let after = reload(400);
    assert!(after < before + 512, "{before} kB, then {after} kB");
}

#[cfg(unix)]
#[test]
fn a_request_that_is_under_way_is_answered_before_the_end() {
    use std::io::{Read as _, Write as _};
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let body = prost::Message::encode_to_vec(&request(&[1]));
    let mut stream = std::net::TcpStream::connect(server.http).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..10]).unwrap();
    // The head has been read once a later request is answered.
    assert!(server.send(&[2]));
    server.signal(rustix::process::Signal::TERM);
    // Nobody new is let in, sooner or later.
    while std::net::TcpStream::connect(server.http).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(&body[10..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.end().0, Some(0));
    assert_eq!(exported(directory.path()), ids([1, 2]));
}
