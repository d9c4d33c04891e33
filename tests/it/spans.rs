//! Unusual spans: on other threads, with an explicit parent or none, recorded twice, or never closed.

use tool_telemetry_receiver::Receiver;

use crate::test_user::{TestUser, only_tree};

#[test]
fn closed_spans_nest_under_their_nearest_approved_ancestor() {
    let expected = "\
\"frob other\" process.executable.name=frob process.exit.code=0 frob.command=other
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
    let user = TestUser::sending_to(&receiver.http_endpoint());
    assert!(user.run_frob(["unusual-spans", "--spans", "0"]).status.success());
    assert!(user.flush());
    assert_eq!(only_tree(&receiver), expected);
    assert_eq!((receiver.doubles(), receiver.rejected()), (0, 0));
}
