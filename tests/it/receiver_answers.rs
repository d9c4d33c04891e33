//! The answers of the OTLP receiver: scripted, dependent on the request, late, cut off, or missing.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::otlp::*;
use crate::receiver::{RUN, connect, run};

#[test]
fn scripted_answers_come_first_and_in_order() {
    let receiver = Receiver::builder()
        .answers([Answer::status(503), Answer::status(429).with_retry_after("Wed, 21 Oct 2026 07:28:00 GMT")])
        .start()
        .unwrap();
    receiver.answer_next([Answer::captive_portal(), Answer::Redirect("http://127.0.0.1:1/x".to_owned())]);

    let got = send(&receiver, &bytes(run()));
    assert_eq!((got.status, got.header("retry-after"), got.header("content-type")), (503, "", PROTOBUF));
    let got = send(&receiver, &bytes(run()));
    assert_eq!((got.status, got.header("retry-after")), (429, "Wed, 21 Oct 2026 07:28:00 GMT"));
    let got = send(&receiver, &bytes(run()));
    assert_eq!((got.status, got.header("content-type")), (200, "text/html; charset=utf-8"));
    let got = send(&receiver, &bytes(run()));
    assert_eq!((got.status, got.header("location")), (307, "http://127.0.0.1:1/x"));
    assert_eq!(receiver.tree(), "");
    assert_eq!(send(&receiver, &bytes(run())).partial_success(), None);
    assert_eq!(receiver.tree(), RUN);
    assert_eq!((receiver.requests().len(), receiver.doubles()), (5, 0));
}

#[test]
fn a_partial_success_stores_the_accepted_spans() {
    let partial = Answer::partial_success(3, "too many");
    let receiver = Receiver::builder().answers([partial.clone(), partial]).start().unwrap();
    assert_eq!(send(&receiver, &bytes(run())).partial_success(), Some((3, "too many".to_owned())));
    assert_eq!(receiver.tree(), "compile\n");
    let answer = send_json(&receiver, "{}");
    assert_eq!(answer.text(), r#"{"partialSuccess":{"errorMessage":"too many","rejectedSpans":"3"}}"#);
}

#[test]
fn a_full_success_may_carry_an_empty_partial_success() {
    let receiver = Receiver::builder().always(Answer::partial_success(0, "")).start().unwrap();
    assert_eq!(send(&receiver, &bytes(run())).body, [0x0a, 0x00]);
    assert_eq!(send_json(&receiver, "{}").text(), r#"{"partialSuccess":{}}"#);
    assert!(send_grpc(&receiver, run(), None, TIMEOUT).unwrap().partial_success.is_some());
    assert_eq!(receiver.tree(), RUN);
}

#[test]
fn an_answer_can_depend_on_the_request() {
    let receiver = Receiver::builder()
        .answers([Answer::status(503)])
        .answer_with(|request| match request.spans().iter().any(|span| span.name() == "poison") {
            true => Answer::status(400),
            false => Answer::Ok,
        })
        .start()
        .unwrap();
    assert_eq!(send(&receiver, &bytes(vec![span(1, "good", 1)])).status, 503);
    assert_eq!(send(&receiver, &bytes(vec![span(1, "good", 1), span(2, "poison", 2)])).status, 400);
    assert_eq!(send(&receiver, &bytes(vec![span(1, "good", 1)])).status, 200);
    assert_eq!(receiver.tree(), "good\n");
}

#[test]
fn grpc_statuses_carry_their_retry_delay() {
    let receiver = Receiver::builder()
        .always(Answer::grpc(8).with_retry_info(Duration::from_millis(1_500)))
        .answers([Answer::grpc(16)])
        .start()
        .unwrap();
    let status = send_grpc(&receiver, run(), None, TIMEOUT).unwrap_err();
    assert_eq!((status.code(), status.details()), (tonic::Code::Unauthenticated, &b""[..]));
    let status = send_grpc(&receiver, run(), None, TIMEOUT).unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    // google.rpc.Status { code: 8, message, details: [Any { RetryInfo { 1 s, 500,000,000 ns } }] }
    assert!(status.details().starts_with(&[0x08, 8]));
    let retry_info = [0x0a, 8, 0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
    assert!(status.details().ends_with(&retry_info), "{:x?}", status.details());
    // Over HTTP this is the equivalent status.
    let got = send(&receiver, &bytes(run()));
    assert_eq!((got.status, got.header("retry-after")), (429, "2"));
    assert_eq!(receiver.tree(), "");
}

#[test]
fn plain_http_answers_fail_a_grpc_call() {
    let answers = [Answer::status(503), Answer::captive_portal(), Answer::status(404)];
    let receiver = Receiver::builder().answers(answers).start().unwrap();
    let code = || send_grpc(&receiver, run(), None, TIMEOUT).unwrap_err().code();
    assert_eq!(code(), tonic::Code::Unavailable);
    assert_ne!(code(), tonic::Code::Ok);
    assert_eq!(code(), tonic::Code::Unimplemented);
    assert_eq!(receiver.tree(), "");
}

#[test]
fn a_reset_stores_nothing() {
    let receiver = Receiver::builder().always(Answer::Reset).start().unwrap();
    let headers = [("content-type", PROTOBUF)];
    post(&receiver, "/v1/traces", &headers, &bytes(run())).unwrap_err();
    send_grpc(&receiver, run(), None, TIMEOUT).unwrap_err();
    assert_eq!((receiver.requests().len(), receiver.tree().as_str()), (2, ""));
}

#[test]
fn a_truncated_answer_stores_the_spans() {
    let receiver = Receiver::builder().answers([Answer::Truncated, Answer::Truncated]).start().unwrap();
    let headers = [("content-type", PROTOBUF)];
    let error = post(&receiver, "/v1/traces", &headers, &bytes(run()));
    error.unwrap_err();
    assert_eq!((receiver.tree().as_str(), receiver.doubles()), (RUN, 0));
    send_grpc(&receiver, run(), None, TIMEOUT).unwrap_err();
    send(&receiver, &bytes(run()));
    assert_eq!((receiver.tree().as_str(), receiver.doubles()), (RUN, 8));
}

#[test]
fn a_truncated_answer_starts_before_it_breaks_off() {
    let receiver = Receiver::builder().always(Answer::Truncated).start().unwrap();
    let mut stream = connect(&receiver);
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2";
    write!(stream, "{head}\r\n\r\n{{}}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n{}"), "{answer}");
}

#[test]
fn senders_time_out_on_hanging_dripping_and_delayed_answers() {
    const SHORT: Duration = Duration::from_millis(300);
    for answer in [Answer::Hang, Answer::Drip, Answer::Delay(Duration::from_secs(3_600))] {
        let receiver = Receiver::builder().always(answer.clone()).start().unwrap();
        let headers = [("content-type", PROTOBUF)];
        post_with(&client(SHORT), &receiver, "/v1/traces", &headers, &bytes(run())).unwrap_err();
        let status = send_grpc(&receiver, run(), None, SHORT).unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        let stored = if answer == Answer::Hang { "" } else { RUN };
        assert_eq!(receiver.tree(), stored, "{answer:?}");
    }
}

#[test]
fn a_drip_sends_one_byte_per_second() {
    let receiver = Receiver::builder().always(Answer::Drip).start().unwrap();
    let mut stream = connect(&receiver);
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2";
    write!(stream, "{head}\r\n\r\n{{}}").unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(String::from_utf8(answer).unwrap().contains("content-length: 3600\r\n"));
    let start = Instant::now();
    stream.read_exact(&mut byte).unwrap();
    stream.read_exact(&mut byte).unwrap();
    assert!(start.elapsed() > Duration::from_millis(1_500), "{:?}", start.elapsed());
}

#[test]
fn spans_are_stored_before_a_delayed_answer() {
    const LATE: Duration = Duration::from_millis(400);
    let receiver = Receiver::builder().always(Answer::Delay(LATE)).start().unwrap();
    std::thread::scope(|scope| {
        let start = Instant::now();
        let sender = scope.spawn(|| send(&receiver, &bytes(run())).partial_success());
        receiver.wait_for(1, TIMEOUT).unwrap();
        assert!(!sender.is_finished());
        assert_eq!(sender.join().unwrap(), None);
        assert!(start.elapsed() >= LATE);
    });
}
