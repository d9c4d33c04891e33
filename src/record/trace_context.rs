//! The trace that this process belongs to, from its parent's environment and for its children's.

use crate::consent::destination::Destination;
use crate::env::{self, Environment};
use crate::model::chooser::Chooser;
use crate::model::hex;
use crate::model::span::{SpanId, TraceId};
use crate::platform;

/// The run or span that started this process. A foreign trace id is used only for a destination that an operator chose. The
/// tool's author only gets the trace id of a run that went to the same author, because any other would reveal more than was
/// approved. `TRACESTATE` is never read.
pub(crate) fn parent(environment: Environment<'_>, destination: &Destination) -> Option<(TraceId, SpanId)> {
    match destination.chosen_by {
        Chooser::Operator => parse(&environment.text(env::TRACEPARENT)?),
        Chooser::Maker => {
            let parent = ParentProcess::parse(&environment.text(env::PARENT)?)?;
            parent.may_be_revealed_to(destination).then_some(parent.context)
        }
    }
}

/// A span as a W3C `traceparent`.
pub(crate) fn traceparent(trace_id: TraceId, span_id: SpanId) -> String {
    format!("00-{}-{}-01", hex::text(&trace_id), hex::text(&span_id))
}

/// The variables for the children of a process, which is usually this one. A child gets only one of the two parents, so that another program's trace id never
/// reaches the tool's author through our child.
pub(crate) fn for_child(
    environment: Environment<'_>,
    destination: &Destination,
    trace_id: TraceId,
    span_id: SpanId,
    process: u32,
) -> Vec<(&'static str, String)> {
    let parent = traceparent(trace_id, span_id);
    match destination.chosen_by {
        Chooser::Maker => {
            vec![(env::PARENT, format!("{parent};{process};{}", destination.directory_name()))]
        }
        Chooser::Operator if environment.raw(env::TRACESTATE).is_some() => {
            vec![(env::TRACEPARENT, parent), (env::TRACESTATE, String::new())]
        }
        Chooser::Operator => vec![(env::TRACEPARENT, parent)],
    }
}

/// The content of [`env::PARENT`]: a `traceparent`, the process that set it, and the receiver of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ParentProcess {
    context: (TraceId, SpanId),
    id: u32,
    receiver: String,
}

impl ParentProcess {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ';');
        let context = parse(parts.next()?)?;
        let id = parts.next()?.parse().ok()?;
        Some(Self { context, id, receiver: parts.next()?.to_owned() })
    }

    /// Whether a receiver may see the trace id. This process must be a child of that process, or the program that it
    /// executed. A shell passes on its environment for days, and all runs of that time would share a trace id. The receiver
    /// must be the same, because two receivers could otherwise find out that their runs are of one user.
    fn may_be_revealed_to(&self, destination: &Destination) -> bool {
        let processes = [Some(std::process::id()), platform::parent_process()];
        processes.contains(&Some(self.id)) && self.receiver == destination.directory_name()
    }
}

/// Parses a `traceparent` (W3C Trace Context, "traceparent Header Field Values").
pub(crate) fn parse(text: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = text.split('-');
    let version = hex::parse::<1>(parts.next()?)?;
    let trace_id = hex::parse::<16>(parts.next()?)?;
    let span_id = hex::parse::<8>(parts.next()?)?;
    hex::parse::<1>(parts.next()?)?;
    // Version 0 has exactly four parts, a later version may have more, and version 255 is forbidden.
    let is_valid = version != [255] && (version != [0] || parts.next().is_none());
    (is_valid && trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::consent::destination::DestinationSources;
    use crate::env::ModeOverride;

    const FOREIGN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OURS: &str = "00-0000000000000000000000000000000a-000000000000000b-01";

    fn look_up(name: &str) -> Option<std::ffi::OsString> {
        match name {
            env::TRACEPARENT => Some(FOREIGN.into()),
            env::TRACESTATE => Some("vendor=anna".into()),
            _ => None,
        }
    }

    fn id<const LENGTH: usize>(last: u8) -> [u8; LENGTH] {
        let mut id = [0; LENGTH];
        id[LENGTH - 1] = last;
        id
    }

    fn destination(chosen_by: Chooser, address: &'static str) -> Destination {
        let by = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| address.into());
        let named = match chosen_by {
            Chooser::Maker => DestinationSources { maker: Some(address), ..DestinationSources::default() },
            Chooser::Operator => DestinationSources::default(),
        };
        let found = Destination::find(Environment::new(&by), ModeOverride::None, &named);
        found.expect("a usable one").expect("a destination")
    }

    fn maker() -> Destination {
        destination(Chooser::Maker, "https://maker.example")
    }

    fn operator() -> Destination {
        destination(Chooser::Operator, "https://collector.example")
    }

    /// The parent that a child finds, if this process's run goes to `from` and the child's run goes to `to`.
    fn parent_of_child(from: &Destination, to: &Destination) -> Option<(TraceId, SpanId)> {
        let given = for_child(Environment::new(&|_| None), from, id(0xa), id(0xb), std::process::id());
        let look_up = |name: &str| {
            given.iter().find(|(given, _)| *given == name).map(|(_, value)| OsString::from(value))
        };
        parent(Environment::new(&look_up), to)
    }

    #[test]
    fn only_an_operator_gets_a_foreign_parent() {
        let environment = Environment::new(&look_up);
        assert_eq!(parent(environment, &operator()), parse(FOREIGN));
        assert_eq!(parent(environment, &maker()), None);
    }

    #[test]
    fn a_child_gets_one_variable_and_no_trace_state() {
        let environment = Environment::new(&look_up);
        let names = |destination: &Destination| -> Vec<&str> {
            for_child(environment, destination, id(0xa), id(0xb), 1).iter().map(|(name, _)| *name).collect()
        };
        assert_eq!(names(&maker()), [env::PARENT]);
        assert_eq!(
            for_child(environment, &operator(), id(0xa), id(0xb), 1),
            [(env::TRACEPARENT, OURS.to_owned()), (env::TRACESTATE, String::new())]
        );
        let nothing = Environment::new(&|_| None);
        assert_eq!(
            for_child(nothing, &operator(), id(0xa), id(0xb), 1),
            [(env::TRACEPARENT, OURS.to_owned())]
        );
    }

    #[test]
    fn without_a_run_a_child_gets_nothing() {
        let telemetry = crate::Telemetry::builder("no such name", "1.0.0").start();
        assert_eq!(telemetry.child_environment().count(), 0);
    }

    #[test]
    fn a_trace_id_stays_with_its_receiver() {
        let another = destination(Chooser::Maker, "https://another.example");
        let ours = Some((id(0xa), id(0xb)));
        assert_eq!(parent_of_child(&maker(), &maker()), ours);
        assert_eq!(parent_of_child(&operator(), &operator()), ours);
        assert_eq!(parent_of_child(&maker(), &another), None);
        assert_eq!(parent_of_child(&maker(), &operator()), None);
        assert_eq!(parent_of_child(&operator(), &maker()), None);
    }

    #[test]
    fn only_children_use_the_parent_variable() {
        let own = std::process::id();
        for (process, is_used) in
            [(own, true), (platform::parent_process().unwrap(), true), (1_000_000_007, false)]
        {
            let text = format!("{OURS};{process};{}", maker().directory_name());
            let look_up = |name: &str| (name == env::PARENT).then(|| OsString::from(&text));
            assert_eq!(parent(Environment::new(&look_up), &maker()).is_some(), is_used, "{text}");
        }
    }

    #[test]
    fn a_parent_that_names_no_process_or_receiver_is_ignored() {
        for rest in ["", ";", ";1", ";one;x", ";-1;x", ";1,x"] {
            assert_eq!(ParentProcess::parse(&format!("{OURS}{rest}")), None, "{rest}");
        }
    }

    #[test]
    fn malformed_parents_are_ignored() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good).is_some());
        assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
