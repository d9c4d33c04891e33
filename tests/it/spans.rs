//! Spans where people do not expect them: on other threads, with a parent of their own choice or none, recorded twice,
//! never closed.

use tool_telemetry_receiver::Receiver;

use crate::person::{Person, only_tree};

#[test]
fn every_span_that_closes_is_reported_once_below_its_nearest_approved_ancestor() {
    let expected = "\
frob process.executable.name=frob process.exit.code=0 frob.command=other
  step frob.number=10 frob.color=never
    inner frob.number=12
    inner frob.number=14
    inner frob.number=15
    inner frob.number=16
  inner frob.number=11
  inner frob.number=13
  inner frob.number=18
";
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    assert!(person.frob(["elsewhere", "--spans", "0"]).status.success());
    assert!(person.flush());
    assert_eq!(only_tree(&receiver), expected);
    assert_eq!((receiver.doubles(), receiver.rejected()), (0, 0));
}
