use std::collections::HashMap;

use proptest::prelude::*;
use tracing::span::EnteredSpan;
use tracing::{Dispatch, Span, info_span};
use tracing_subscriber::prelude::*;

use super::*;
use crate::allowlist::Allowlist;
use crate::data_points::Value;
use crate::destination::ChosenBy;
use crate::layer::TelemetryLayer;
use crate::run::RunId;
use crate::span::SpanId;
use crate::upload::testing::{DATA_POINTS, TOOL};

/// Which span is meant, of those that were opened so far.
type Which = prop::sample::Index;

/// What a tool can do with spans.
#[derive(Debug, Clone)]
enum Step {
    Open {
        is_approved: bool,
        below: Below,
    },
    /// Enters it, unless it is entered: of one that is entered twice a registry counts only the outer time.
    Enter(Which),
    /// Leaves one of those that are entered, in any order.
    Leave(Which),
    Drop(Which),
    Record(Which),
    RecordInCurrent,
}

#[derive(Debug, Clone)]
enum Below {
    TheEntered,
    Nothing,
    Current,
    This(Which),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let below = prop_oneof![
        4 => Just(Below::TheEntered),
        1 => Just(Below::Nothing),
        1 => Just(Below::Current),
        2 => any::<Which>().prop_map(Below::This),
    ];
    let step = prop_oneof![
        4 => (any::<bool>(), below).prop_map(|(is_approved, below)| Step::Open { is_approved, below }),
        3 => any::<Which>().prop_map(Step::Enter),
        2 => any::<Which>().prop_map(Step::Leave),
        3 => any::<Which>().prop_map(Step::Drop),
        1 => any::<Which>().prop_map(Step::Record),
        1 => Just(Step::RecordInCurrent),
    ];
    prop::collection::vec(step, 0..60)
}

fn open(number: i64, is_approved: bool, below: Option<Option<Span>>) -> Span {
    // Fields of the same names: it is the call site that is approved.
    macro_rules! span {
        ($target:literal, $($parent:tt)*) => {
            info_span!(target: $target, $($parent)* "resolve", weave.packages = number, weave.verbose = tracing::field::Empty)
        };
    }
    match (is_approved, below) {
        (true, None) => span!("weave::resolve",),
        (true, Some(below)) => span!("weave::resolve", parent: below.and_then(|span| span.id()),),
        (false, None) => span!("somebody",),
        (false, Some(below)) => span!("somebody", parent: below.and_then(|span| span.id()),),
    }
}

fn take(steps: &[Step]) {
    let mut spans: Vec<Option<Span>> = Vec::new();
    let mut entered: Vec<(usize, EnteredSpan)> = Vec::new();
    let pick = |spans: &[Option<Span>], which: &Which| match spans.len() {
        0 => None,
        length => spans[which.index(length)].clone(),
    };
    for step in steps {
        match step {
            Step::Open { is_approved, below } => {
                let below = match below {
                    Below::TheEntered => None,
                    Below::Nothing => Some(None),
                    Below::Current => Some(Some(Span::current())),
                    Below::This(which) => Some(pick(&spans, which)),
                };
                let number = spans.len() as i64 + 1;
                spans.push(Some(open(number, *is_approved, below)));
            }
            Step::Enter(which) if !spans.is_empty() => {
                let which = which.index(spans.len());
                if let Some(span) = &spans[which]
                    && entered.iter().all(|(other, _)| *other != which)
                {
                    entered.push((which, span.clone().entered()));
                }
            }
            Step::Leave(which) if !entered.is_empty() => {
                let which = which.index(entered.len());
                drop(entered.remove(which));
            }
            Step::Drop(which) if !spans.is_empty() => {
                let which = which.index(spans.len());
                spans[which] = None;
            }
            Step::Record(which) => {
                if let Some(span) = pick(&spans, which) {
                    span.record("weave.verbose", true);
                }
            }
            Step::RecordInCurrent => {
                Span::current().record("weave.verbose", false);
            }
            Step::Enter(_) | Step::Leave(_) | Step::Drop(_) => {}
        }
    }
}

fn begin(runs: &Runs) -> RunId {
    runs.begin("build", false, true, || true).expect("this is no forked child").run
}

/// The spans in the order in which they were closed: number, the parent's number (0 for the run), flag.
fn recorded(
    steps: &[Step],
    subscriber: impl FnOnce(&'static Runs) -> Dispatch,
) -> Vec<(i64, i64, Option<bool>)> {
    let allowlist = Allowlist::for_sending(&DATA_POINTS, ChosenBy::Operator, None);
    let runs: &'static Runs = Box::leak(Box::new(Runs::new(allowlist, TOOL, None, None, true)));
    let run = begin(runs);
    tracing::dispatcher::with_default(&subscriber(runs), || take(steps));
    let spans = runs.end(run, 0, || false).shown.expect("they are to be shown");
    let number = |span: &crate::span::Span| match span.values.iter().find(|(position, _)| *position == 3) {
        Some((_, Value::Integer(number))) => *number,
        _ => 0,
    };
    let numbers: HashMap<SpanId, i64> = spans.iter().map(|span| (span.span_id, number(span))).collect();
    let flag = |span: &crate::span::Span| {
        span.values.iter().find_map(|(position, value)| match value {
            Value::Bool(flag) if *position == 2 => Some(*flag),
            _ => None,
        })
    };
    let below = |span: &crate::span::Span| span.parent.map_or(-1, |parent| numbers[&parent.span_id]);
    spans[1..].iter().map(|span| (number(span), below(span), flag(span))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_records_what_the_layer_on_a_registry_records(steps in steps()) {
        let with_registry = recorded(&steps, |runs| {
            Dispatch::new(tracing_subscriber::registry().with(TelemetryLayer::new(Some(runs))))
        });
        let alone = recorded(&steps, |runs| Dispatch::new(TelemetrySubscriber::new(Some(runs))));
        prop_assert_eq!(alone, with_registry);
    }
}

/// Functions with a call site of their own each, which nobody has come to yet.
macro_rules! call_sites {
    ($($eight:literal)*) => {
        [$(call_sites!(@ $eight)),*].concat()
    };
    (@ $eight:literal) => {
        [call_sites!(@@), call_sites!(@@), call_sites!(@@), call_sites!(@@),
         call_sites!(@@), call_sites!(@@), call_sites!(@@), call_sites!(@@)]
    };
    (@@) => {
        (|| drop(info_span!(target: "weave::resolve", "resolve", weave.packages = 1))) as fn()
    };
}

#[test]
fn no_span_is_lost_where_two_threads_come_to_a_call_site_first() {
    let call_sites = call_sites!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    let allowlist = Allowlist::for_sending(&DATA_POINTS, ChosenBy::Operator, None);
    let runs: &'static Runs = Box::leak(Box::new(Runs::new(allowlist, TOOL, None, None, true)));
    let run = begin(runs);
    let dispatch = Dispatch::new(TelemetrySubscriber::new(Some(runs)));
    let arrived: Vec<AtomicU32> = call_sites.iter().map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    for (call_site, arrived) in call_sites.iter().zip(&arrived) {
                        // As nearly at once as two threads can.
                        arrived.fetch_add(1, Ordering::AcqRel);
                        while arrived.load(Ordering::Acquire) < 2 {
                            std::hint::spin_loop();
                        }
                        call_site();
                    }
                });
            });
        }
    });
    let spans = runs.end(run, 0, || false).shown.expect("they are to be shown");
    assert_eq!(spans.len(), 1 + 2 * call_sites.len());
}

#[test]
fn each_of_two_subscribers_has_its_own_spans() {
    let subscriber = || {
        let allowlist = Allowlist::for_sending(&DATA_POINTS, ChosenBy::Operator, None);
        let runs: &'static Runs = Box::leak(Box::new(Runs::new(allowlist, TOOL, None, None, true)));
        (runs, Dispatch::new(TelemetrySubscriber::new(Some(runs))))
    };
    let ((_, one), (runs, other)) = (subscriber(), subscriber());
    let run = begin(runs);
    tracing::dispatcher::with_default(&one, || {
        let _entered = open(1, true, None).entered();
        tracing::dispatcher::with_default(&other, || {
            let not_entered = open(2, true, None);
            drop(open(3, true, None));
            drop(not_entered);
        });
    });
    let spans = runs.end(run, 0, || false).shown.expect("they are to be shown");
    let run = spans[0].span_id;
    assert!(
        spans[1..].iter().all(|span| span.parent.is_some_and(|parent| parent.span_id == run)),
        "{spans:?}"
    );
}

#[test]
fn of_a_closed_span_nothing_is_found_also_when_its_place_is_taken_again() {
    let allowlist = Allowlist::for_sending(&DATA_POINTS, ChosenBy::Operator, None);
    let runs: &'static Runs = Box::leak(Box::new(Runs::new(allowlist, TOOL, None, None, true)));
    let subscriber = TelemetrySubscriber::new(Some(runs));
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
        let gone = open(1, true, None).id().expect("an id");
        let next = open(2, true, None).id().expect("an id");
        assert_ne!(gone, next);
        tracing::dispatcher::get_default(|dispatch| {
            let own = dispatch.downcast_ref::<TelemetrySubscriber>().expect("ours");
            assert_eq!(
                Handle::of(&gone).key().map(|key| key.place),
                Handle::of(&next).key().map(|key| key.place)
            );
            assert!(own.open().get(Handle::of(&gone).key().expect("a key")).is_none());
        });
    });
}

#[test]
fn when_nothing_is_recorded_nothing_is_of_interest() {
    let subscriber = TelemetrySubscriber::new(None);
    assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::OFF));
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
        assert!(open(1, true, None).is_disabled());
        assert!(open(2, false, None).is_disabled());
    });
}
