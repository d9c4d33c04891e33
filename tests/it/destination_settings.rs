//! Headers, certificates, timeouts, and proxies. A setting that cannot be used is named, and the runs stay
//! pending.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use tool_telemetry_receiver::Receiver;

#[cfg(target_os = "linux")]
use crate::test_user::is_root;
use crate::test_user::{TIMEOUT, TestUser, eventually};

/// Runs the tool once and flushes, which must fail and keep the run.
fn failed(user: TestUser) -> TestUser {
    user.run_frob(["telemetry", "on"]);
    user.run_frob(["build"]);
    eventually("its uploader has ended", || user.uploaders().is_empty());
    assert!(!user.flush());
    assert_eq!((user.count("pending"), user.pending_runs().len()), (1, 1));
    user
}

/// The sentence for the last failure. It is also a warning, because the settings have not changed.
fn sentence(user: &TestUser) -> String {
    let output = user.run_frob(["telemetry", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let destination = &status["destinations"].as_array().expect("destinations")[0];
    let text = destination["last_failure"]["text"].as_str().expect("a text").to_owned();
    let warnings = status["warnings"].as_array().expect("warnings");
    let kind = destination["last_failure"]["kind"].as_str().expect("a kind");
    if kind.starts_with("settings") {
        assert!(warnings.iter().any(|warning| *warning == *text), "{status}");
    }
    assert_eq!(user.status().matches(&text).count(), 1, "{}", user.status());
    text
}

/// Writes a file to the user's home directory.
fn file(user: &TestUser, name: &str, content: &str) -> String {
    let path = user.home().join(name);
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("text").to_owned()
}

#[cfg(unix)]
fn fifo(user: &TestUser, name: &str) -> String {
    let path = user.home().join(name);
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    path.to_str().expect("text").to_owned()
}

#[test]
fn invalid_headers_are_named_and_block_sending() {
    let receiver = Receiver::start().expect("a receiver");
    for (headers, what) in [
        ("authorization=Bearer x,secret", "has a header without `=`"),
        ("authorization=Bearer%0Asecret", "has a header whose value contains an invalid character"),
        ("authorization=\"Bearer secret\"", "has a quoted header"),
        ("{\"authorization\": \"secret\"}", "is JSON"),
        ("authorization=secret\nx=y", "contains a line break"),
        ("a secret=x", "has a header with an invalid name"),
        ("authorization=secret%FF", "is not valid UTF-8"),
        ("content-type=secret", "has a header about the body or the connection"),
        (",", "contains no header"),
    ] {
        for variable in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
            let user = TestUser::sending_to(&receiver.http_endpoint()).with(variable, headers);
            let text = sentence(&failed(user));
            assert!(text.starts_with(&format!("{variable} {what}")), "{text}");
            assert!(
                text.ends_with("; runs stay pending until this is fixed") && !text.contains("secret"),
                "{text}"
            );
        }
    }
    assert_eq!(receiver.requests().len(), 0);
}

#[test]
fn http_style_headers_and_url_credentials_are_sent() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let with_user = endpoint.replace("://", "://u%40x:p%2F%25@");
    for (endpoint, headers, wanted) in [
        (&endpoint, "Authorization: Bearer a=b", "Bearer a=b"),
        (&with_user, "", "Basic dUB4OnAvJQ=="),
        (&with_user, "authorization=Bearer x", "Bearer x"),
    ] {
        let user = TestUser::sending_to(endpoint).with("OTEL_EXPORTER_OTLP_HEADERS", headers);
        user.run_frob(["build"]);
        assert!(user.flush());
        assert_eq!(receiver.requests().last().expect("a request").header("authorization"), Some(wanted));
    }
    let grpc = receiver.grpc_endpoint().replace("://", "://u%40x:p%2F%25@");
    let user = TestUser::sending_to(&grpc).with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    user.run_frob(["build"]);
    assert!(user.flush());
    let requests = receiver.requests();
    assert_eq!(requests.last().expect("a request").header("authorization"), Some("Basic dUB4OnAvJQ=="));
}

#[cfg(unix)]
#[test]
fn unusable_certificate_files_are_named_and_block_sending() {
    let missing = |user: &TestUser| user.home().join("missing.pem").to_str().expect("text").to_owned();
    type Make<'a> = &'a dyn Fn(&TestUser) -> String;
    let cases: [(&str, Make<'_>, &str); 7] = [
        ("CERTIFICATE", &missing, "does not exist"),
        ("CERTIFICATE", &|user| file(user, "empty.pem", ""), "contains no usable PEM certificate"),
        ("CERTIFICATE", &|user| fifo(user, "fifo"), "is not a regular file"),
        ("CERTIFICATE", &|user| user.home().to_str().expect("text").to_owned(), "is not a regular file"),
        ("CERTIFICATE", &|_| "/dev/zero".to_owned(), "is not a regular file"),
        ("CLIENT_CERTIFICATE", &missing, "is set without OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ("CLIENT_KEY", &missing, "is set without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
    ];
    for (name, make, what) in cases {
        let user = TestUser::new();
        let path = make(&user);
        let variable = format!("OTEL_EXPORTER_OTLP_{name}");
        for protocol in ["http/protobuf", "grpc"] {
            let user = TestUser::new()
                .with("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9")
                .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .with(&variable, &path);
            let text = sentence(&failed(user));
            let named = if what.starts_with("is set") {
                variable.clone()
            } else {
                format!("{path} (set by {variable})")
            };
            assert!(text.starts_with(&format!("{named} {what}")), "{text}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_fifo_as_a_certificate_does_not_block_the_uploader() {
    for variable in
        ["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR"]
    {
        let user = TestUser::sending_to("https://127.0.0.1:9");
        let path = fifo(&user, "fifo");
        let user = user.with(variable, &path);
        for _ in 0..30 {
            user.run_frob(["build"]);
        }
        // An uploader that blocks on the file would live for 60 s.
        eventually("they have ended", || user.uploaders().is_empty());
        eventually("it says why", || user.status().contains("last failure: settings "));
        assert_eq!(user.count("pending"), 30);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_unusable_policy_headers_file_is_named_and_the_runs_are_kept() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    for (make, what) in [
        ("true", "does not exist"),
        ("echo a=b > $F && chmod 600 $F", "is not readable by this user"),
        ("mkfifo $F", "is not a regular file"),
        ("echo secret > $F", "has a header without `=`"),
        ("printf '\\377=secret' > $F", "is not valid UTF-8"),
        (": > $F", "contains no header"),
    ] {
        let user = TestUser::new().unprivileged();
        let frob = user.frob_command(["build"]).get_program().to_str().expect("text").to_owned();
        let as_user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
        let script = format!(
            "mount -t tmpfs none /etc && mkdir /etc/tool-telemetry && cd /etc/tool-telemetry &&
            F=/etc/tool-telemetry/headers; {make};
            printf '[tool.frob]\\nendpoint = \"{0}\"\\nheaders_file = \"/etc/tool-telemetry/headers\"\\n' > policy.toml &&
            for c in 'telemetry on' build 'telemetry flush' 'telemetry status'; do {as_user} {frob} $c; done",
            receiver.http_endpoint(),
        );
        let mut command = std::process::Command::new("unshare");
        command
            .env_clear()
            .env("HOME", user.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = command.args(["-m", "sh", "-c", &script]).output().expect("unshare");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let by = "headers_file in /etc/tool-telemetry/policy.toml";
        let named = match ["has a", "contains", "is not valid"].iter().any(|start| what.starts_with(start)) {
            true => format!("{by} {what}"),
            false => format!("/etc/tool-telemetry/headers (set by {by}) {what}"),
        };
        assert!(printed.contains(&named) && printed.contains("  pending    1\n"), "{named}\n{output:?}");
        assert!(!printed.contains("secret"), "{printed}");
    }
    assert_eq!(receiver.requests().len(), 0);
}

#[test]
fn overlong_hosts_are_refused_by_name() {
    let host = format!("{}example", "abcdefghi.".repeat(24));
    let user = TestUser::sending_to(&format!("http://{host}:4318"));
    user.run_frob(["build"]);
    assert_eq!(user.pending_runs().len(), 1);
    let too_long = TestUser::sending_to(&format!("http://{}", "abcdefghi.".repeat(30)));
    too_long.run_frob(["build"]);
    assert!(too_long.pending_runs().is_empty());
    let status = too_long.status();
    assert!(status.contains("warning: OTEL_EXPORTER_OTLP_ENDPOINT names a host that is longer"), "{status}");
}

/// Starts a TLS server with a self-signed certificate in front of a receiver.
fn secure(receiver: &Receiver) -> (String, SocketAddr) {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        );
    let config = Arc::new(config.expect("a certificate"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let behind = receiver.http_endpoint().replace("http://", "");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let stream = rustls::StreamOwned::new(connection, stream);
            let _ = forward(stream, TcpStream::connect(&behind).expect("the receiver"));
        }
    });
    (certificate.pem(), address)
}

/// Forwards requests and their responses, one after another.
fn forward(mut client: impl Read + Write, behind: TcpStream) -> std::io::Result<()> {
    let mut behind = BufReader::new(behind);
    loop {
        let mut request = Vec::new();
        let head = loop {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            request.push(byte[0]);
            if request.ends_with(b"\r\n\r\n") {
                break String::from_utf8_lossy(&request).to_ascii_lowercase();
            }
        };
        let mut body = vec![0; length_in(&head)];
        client.read_exact(&mut body)?;
        behind.get_mut().write_all(&[request, body].concat())?;
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            if behind.read_line(&mut answer)? == 0 {
                return Ok(());
            }
        }
        let mut body = vec![0; length_in(&answer.to_ascii_lowercase())];
        behind.read_exact(&mut body)?;
        client.write_all(&[answer.into_bytes(), body].concat())?;
        client.flush()?;
    }
}

fn length_in(head: &str) -> usize {
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn relative_paths_and_bundles_with_a_broken_certificate_work() {
    let receiver = Receiver::start().expect("a receiver");
    let (root, address) = secure(&receiver);
    for (variable, value, warns) in [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "bundle.pem", true),
        ("SSL_CERT_FILE", "./bundle.pem", false),
        ("SSL_CERT_DIR", "missing:certs", false),
    ] {
        let user = TestUser::sending_to(&format!("https://{address}")).with(variable, value);
        file(&user, "bundle.pem", &format!("{BROKEN}{root}"));
        std::fs::create_dir(user.home().join("certs")).expect("a directory");
        file(&user, "certs/0123abcd.0", &root);
        user.run_frob(["build"]);
        eventually("it is delivered", || user.count("delivered") == 1);
        let warning = format!("warning: 1 certificate of {}/bundle.pem (set by", user.home().display());
        assert_eq!(user.status().contains(&warning), warns, "{}", user.status());
    }
    assert_eq!(receiver.wait_for(3, TIMEOUT).expect("they arrive").len(), 3);
}

#[test]
fn an_untrusted_certificate_names_the_variable_that_trusts_it() {
    let receiver = Receiver::start().expect("a receiver");
    let (_, address) = secure(&receiver);
    let user = failed(TestUser::sending_to(&format!("https://{address}")));
    let text = sentence(&user);
    assert!(user.status().contains("last failure: tls unknown_issuer"), "{}", user.status());
    assert!(text.contains("name its authority's certificate in OTEL_EXPORTER_OTLP_CERTIFICATE"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn missing_root_certificates_are_reported() {
    if !is_root("a machine without /etc/ssl, in a mount namespace of its own") {
        return;
    }
    let user = TestUser::sending_to("https://127.0.0.1:9");
    let script = "for d in /etc /usr/share /usr/lib/ssl /usr/local/share; do
            test -d $d && mount -t tmpfs none $d; done
        $FROB build >/dev/null; $FROB telemetry flush; $FROB telemetry status";
    let mut command = user.command("unshare");
    command.args(["-m", "sh", "-c", script]).env("FROB", crate::test_user::example("frob"));
    let output = command.output().expect("unshare");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("this machine has no root certificates; install them"), "{output:?}");
    assert!(
        printed.contains("last failure: settings roots missing") && printed.contains("  pending    1\n"),
        "{printed}"
    );
}

#[test]
fn a_zero_timeout_is_ignored_with_a_warning() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).with("OTEL_EXPORTER_OTLP_TIMEOUT", "0");
    user.run_frob(["build"]);
    receiver.wait_for(1, TIMEOUT).expect("a trace arrives");
    let warning =
        "warning: OTEL_EXPORTER_OTLP_TIMEOUT is not a number of milliseconds above 0; 10000 is used";
    assert!(user.status().contains(warning), "{}", user.status());
}

#[test]
fn a_proxy_that_grpc_ignores_is_reported() {
    let user = TestUser::sending_to("http://collector.example:4317").with("http_proxy", "http://127.0.0.1:9");
    let passes = |user: &TestUser| user.status().contains("gRPC connects directly and ignores the proxy");
    assert!(!passes(&user), "{}", user.status());
    let user = user.with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert!(passes(&user), "{}", user.status());
    assert!(!passes(&user.with("no_proxy", "collector.example")));
}
