//! The exporters in a real pipeline of the SDK, and the uploader with exporters that misbehave.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use tempfile::TempDir;

use super::{AllowlistExporter, ExporterTransport, SpoolExporter};
use crate::fixtures::{self, DATA_POINTS, TOOL};
use crate::model::allowlist::Allowlist;
use crate::model::chooser::Chooser;
use crate::model::data_points::{Audience, Value};
use crate::model::span;
use crate::record::{EndedRun, RunId, Runs};
use crate::spool::directory::SpoolDirectory;
use crate::spool::read::{RecordedRun, read_run};
use crate::telemetry::Telemetry;
use crate::upload::delivery::{DeliveryOutcome, FailureKind, Transport as _};

const TARGET: &str = "weave::resolve";

/// Starts a span, which is approved if its number is positive.
fn start(tracer: &SdkTracer, number: i64, parent: &Context) -> Context {
    let name = if number > 0 { "resolve" } else { "unapproved" };
    let span = tracer
        .span_builder(name)
        .with_attributes([KeyValue::new("target", TARGET), KeyValue::new("weave.packages", number)])
        .start_with_context(tracer, parent);
    parent.with_span(span)
}

fn end(context: &Context) {
    context.span().end();
}

fn remote() -> Context {
    let ids = (TraceId::from_bytes([7; 16]), SpanId::from_bytes([8; 8]));
    let parent = SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED, true, TraceState::NONE);
    Context::new().with_remote_span_context(parent)
}

/// A run on disk, and a pipeline into it.
struct RecordedPipeline {
    directory: TempDir,
    runs: &'static Runs,
    run: RunId,
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl RecordedPipeline {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = SpoolDirectory::new(directory.path(), "weave", "maker");
        let allowlist = Allowlist::new(&DATA_POINTS, Chooser::Maker, None, None, None);
        let runs: &'static Runs = Box::leak(Box::new(Runs::new(allowlist, TOOL, Some(spool), None, true)));
        let run = runs.begin("build", false, true, || true).expect("this is no forked child").run;
        let provider =
            SdkTracerProvider::builder().with_simple_exporter(SpoolExporter::new(Some(runs))).build();
        let tracer = provider.tracer("weave");
        Self { directory, runs, run, provider, tracer }
    }

    fn end(&self) -> EndedRun {
        self.runs.end(self.run, 0, || true)
    }

    fn file(&self) -> Vec<u8> {
        let runs = self.directory.path().join("weave/telemetry/maker/runs");
        let entry = std::fs::read_dir(runs).expect("the runs").flatten().next().expect("a run");
        std::fs::read(entry.path()).expect("a run file")
    }

    fn read(&self) -> RecordedRun {
        let run = read_run(&self.file(), &DATA_POINTS, "weave").expect("a run");
        assert_eq!(run.left_out, 0);
        run
    }

    /// The current tree of the run on disk.
    fn tree(&self) -> String {
        tree(&self.read().spans)
    }
}

/// The numbers of the spans, nested. The outermost ones have no parent.
fn tree(spans: &[span::Span]) -> String {
    fn children(spans: &[span::Span], parent: Option<span::SpanId>) -> String {
        let of = |span: &&span::Span| span.parent.map(|parent| parent.span_id) == parent;
        let mut found: Vec<String> = spans
            .iter()
            .filter(of)
            .map(|span| {
                let number = span.values.iter().find_map(|(_, value)| match value {
                    Value::Integer(number) => Some(number.to_string()),
                    _ => None,
                });
                let below = children(spans, Some(span.span_id));
                let below = if below.is_empty() { below } else { format!("({below})") };
                format!("{}{below}", number.unwrap_or_else(|| "run".to_owned()))
            })
            .collect();
        found.sort();
        found.join(" ")
    }
    children(spans, None)
}

#[test]
fn children_of_unapproved_spans_move_to_an_approved_ancestor() {
    let recording = RecordedPipeline::start();
    let [top, one, between, below, two] = chain(&recording.tracer, Context::new(), [0, 1, 0, 0, 2]);
    end(&two);
    assert_eq!(recording.tree(), "run(2)", "the parents have not ended");
    end(&below);
    end(&between);
    end(&one);
    assert_eq!(recording.tree(), "run(1(2))");
    end(&top);
    let three = start(&recording.tracer, 3, &top);
    end(&three);
    assert_eq!(recording.tree(), "run(1(2) 3)");
    let lines = recording.file().iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 6, "the run; 2 twice, since it moved; 1 twice, since it hangs under the run; 3");
    let shown = recording.end().shown.expect("it is shown");
    assert_eq!(tree(&shown), "run(1(2) 3)");
    assert_eq!(recording.tree(), "run(1(2) 3)");
}

/// Starts nested spans.
fn chain<const LENGTH: usize>(tracer: &SdkTracer, top: Context, numbers: [i64; LENGTH]) -> [Context; LENGTH] {
    let mut parent = top;
    numbers.map(|number| {
        parent = start(tracer, number, &parent);
        parent.clone()
    })
}

#[test]
fn a_child_that_ends_after_its_ancestors_has_the_right_parent() {
    let recording = RecordedPipeline::start();
    let [one, between, two] = chain(&recording.tracer, Context::new(), [1, 0, 2]);
    end(&one);
    end(&between);
    end(&two);
    assert_eq!(recording.tree(), "run(1(2))");
}

#[test]
fn spans_of_all_traces_join_the_run_without_their_ids() {
    let recording = RecordedPipeline::start();
    for (top, number) in [(Context::new(), 1), (Context::new(), 2), (remote(), 3)] {
        end(&start(&recording.tracer, number, &top));
    }
    let run = recording.read();
    assert_eq!(tree(&run.spans), "run(1 2 3)");
    assert!(run.spans.iter().all(|span| span.trace_id == run.spans[0].trace_id));
    let text = String::from_utf8(recording.file()).expect("text");
    assert!(!text.contains("07070707") && !text.contains("08080808"), "{text}");
}

#[test]
fn times_are_clamped_to_the_run() {
    let recording = RecordedPipeline::start();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(4711);
    let mut span = recording
        .tracer
        .span_builder("resolve")
        .with_start_time(long_ago)
        .with_attributes([KeyValue::new("target", TARGET)])
        .start_with_context(&recording.tracer, &Context::new());
    span.end_with_timestamp(long_ago - Duration::from_secs(1));
    let run = recording.read();
    assert_eq!((run.spans[1].start, run.spans[1].end), (run.spans[0].start, run.spans[0].start));
}

#[test]
fn exports_without_an_open_run_succeed_and_write_nothing() {
    let recording = RecordedPipeline::start();
    recording.end();
    let before = recording.file();
    end(&start(&recording.tracer, 1, &Context::new()));
    assert_eq!(recording.file(), before);
    assert!(recording.provider.shutdown().is_ok());
    let off = SpoolExporter::new(None);
    assert!(futures_executor::block_on(off.export(Vec::new())).is_ok());
}

#[test]
fn the_run_file_is_bounded() {
    let recording = RecordedPipeline::start();
    let top = start(&recording.tracer, 1, &Context::new());
    for _ in 0..12_000 {
        end(&start(&recording.tracer, 2, &top));
    }
    end(&top);
    recording.end();
    let run = recording.read();
    assert!(recording.file().len() as u64 <= crate::spool::run_file::MAX_RUN_BYTES);
    assert!(run.spans.len() > 1000 && run.spans.len() < 12_000, "{}", run.spans.len());
    assert!(
        run.spans[1..]
            .iter()
            .all(|span| span.parent.map(|parent| parent.span_id) == Some(run.spans[0].span_id))
    );
}

/// Keeps the exported spans and the resource.
#[derive(Debug, Clone, Default)]
struct CollectingExporter {
    spans: Arc<Mutex<Vec<SpanData>>>,
    resource: Arc<Mutex<Option<Resource>>>,
}

impl SpanExporter for CollectingExporter {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.spans.lock().expect("spans").extend(batch);
        std::future::ready(Ok(()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        *self.resource.lock().expect("a resource") = Some(resource.clone());
    }
}

impl CollectingExporter {
    fn behind(&self, audience: Audience) -> (SdkTracerProvider, SdkTracer) {
        let exporter =
            AllowlistExporter::new("weave", "1.4.0", &DATA_POINTS, self.clone()).audience(audience);
        let resource = Resource::builder().with_attribute(KeyValue::new("host.name", "anna")).build();
        let provider =
            SdkTracerProvider::builder().with_simple_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("weave");
        (provider, tracer)
    }

    /// The tree of the exported spans.
    fn tree(&self) -> String {
        let spans = self.spans.lock().expect("spans");
        let records: Vec<span::Span> = spans
            .iter()
            .map(|data| span::Span {
                trace_id: data.span_context.trace_id().to_bytes(),
                span_id: data.span_context.span_id().to_bytes(),
                parent: (data.parent_span_id != SpanId::INVALID && !data.parent_span_is_remote)
                    .then(|| span::Parent { span_id: data.parent_span_id.to_bytes(), is_remote: false }),
                subject: span::Subject::Approved(0),
                start: 1,
                end: 1,
                values: data
                    .attributes
                    .iter()
                    .filter_map(|attribute| match attribute.value {
                        opentelemetry::Value::I64(number) => Some((0, Value::Integer(number))),
                        _ => None,
                    })
                    .collect(),
            })
            .collect();
        tree(&records)
    }

    fn len(&self) -> usize {
        self.spans.lock().expect("spans").len()
    }
}

#[test]
fn the_allowlist_exports_a_span_once_its_place_is_known() {
    for audience in [Audience::Maker, Audience::Operator] {
        let keeper = CollectingExporter::default();
        let (provider, tracer) = keeper.behind(audience);
        let [top, one, between, two] = chain(&tracer, Context::new(), [0, 1, 0, 2]);
        end(&two);
        end(&between);
        assert_eq!(keeper.len(), 0);
        end(&one);
        assert_eq!(keeper.len(), 1, "2 hangs under 1");
        end(&top);
        assert_eq!(keeper.tree(), "1(2)");
        let [_open, waits] = chain(&tracer, Context::new(), [0, 3]);
        end(&waits);
        assert_eq!(keeper.len(), 2);
        provider.shutdown().expect("it shuts down");
        assert_eq!(keeper.len(), 3, "waiting spans are exported at the end");
    }
}

#[test]
fn the_allowlist_sets_the_tools_own_resource() {
    let keeper = CollectingExporter::default();
    let _pipeline = keeper.behind(Audience::Maker);
    let resource = keeper.resource.lock().expect("a resource").clone().expect("one was set");
    assert_eq!(resource, crate::upload::sdk_data::resource(TOOL));
}

#[test]
fn the_maker_gets_new_ids_and_an_operator_the_original_ones() {
    let exported = |audience| {
        let keeper = CollectingExporter::default();
        let (_provider, tracer) = keeper.behind(audience);
        let [one, two] = chain(&tracer, remote(), [1, 2]);
        end(&two);
        end(&one);
        assert_eq!(keeper.tree(), "1(2)");
        let spans = keeper.spans.lock().expect("spans").clone();
        let ids: HashMap<_, _> = spans.iter().map(|span| (span.span_context.span_id(), span)).collect();
        let same = ids.contains_key(&one.span().span_context().span_id());
        let traces: Vec<_> = spans.iter().map(|span| span.span_context.trace_id()).collect();
        assert_eq!(traces[0], traces[1]);
        (same, traces[0] == TraceId::from_bytes([7; 16]), spans.iter().any(|span| span.parent_span_is_remote))
    };
    assert_eq!(exported(Audience::Maker), (false, false, false));
    assert_eq!(exported(Audience::Operator), (true, true, true));
}

#[test]
fn a_span_is_approved_by_its_first_target() {
    type Attributes = &'static [(&'static str, &'static str)];
    let cases: [(Attributes, &'static str, bool); 9] = [
        (&[("target", TARGET)], "anything", true),
        (&[("target", "weave::resolve::deep")], "anything", true),
        (&[("target", "weave::resolver")], TARGET, false),
        (&[("target", "hyper"), ("target", TARGET)], TARGET, false),
        (&[("target", "hyper"), ("code.module.name", TARGET)], TARGET, false),
        (&[("code.module.name", TARGET)], "anything", true),
        (&[("code.namespace", TARGET)], "anything", true),
        (&[], TARGET, true),
        (&[], "hyper", false),
    ];
    for (attributes, scope, is_approved) in cases {
        let keeper = CollectingExporter::default();
        let (provider, _) = keeper.behind(Audience::Maker);
        let tracer = provider.tracer(scope);
        let attributes: Vec<_> = attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
        let mut span = tracer.span_builder("resolve").with_attributes(attributes.clone()).start(&tracer);
        span.end();
        assert_eq!(keeper.len() == 1, is_approved, "{attributes:?} of {scope}");
    }
}

/// An exporter that always behaves in the same way.
#[derive(Debug)]
struct ScriptedExporter(Behaviour);

#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Ok,
    Err,
    FlushErr,
    Panic,
    Never,
}

impl SpanExporter for ScriptedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        assert_eq!(batch.len(), fixtures::spans().len());
        match self.0 {
            Behaviour::Ok | Behaviour::FlushErr => Ok(()),
            Behaviour::Err => Err(OTelSdkError::AlreadyShutdown),
            Behaviour::Panic => panic!("an exporter's own error"),
            Behaviour::Never => std::future::pending().await,
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        if matches!(self.0, Behaviour::FlushErr) { Err(OTelSdkError::AlreadyShutdown) } else { Ok(()) }
    }
}

/// The outcomes of two batches.
fn outcomes(
    timeout: Duration,
    make: impl Fn() -> Result<ScriptedExporter, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
) -> [DeliveryOutcome; 2] {
    let builder = Telemetry::builder("weave", "1.4.0").deliver_to(make);
    let mut transport = ExporterTransport::open(builder.exporter.as_ref().expect("an exporter"));
    transport.timeout = timeout;
    let spans = fixtures::spans();
    std::array::from_fn(|_| transport.deliver(&fixtures::batch(&spans)))
}

#[test]
fn a_failed_exporter_is_retried() {
    let failed = DeliveryOutcome::retry(FailureKind::Exporter);
    for (behaviour, expected) in [
        (Behaviour::Ok, [DeliveryOutcome::DELIVERED, DeliveryOutcome::DELIVERED]),
        (Behaviour::Err, [failed.clone(), failed.clone()]),
        (Behaviour::FlushErr, [failed.clone(), failed.clone()]),
        (Behaviour::Panic, [failed.clone(), failed.clone()]),
        (Behaviour::Never, [DeliveryOutcome::retry(FailureKind::Timeout), failed.clone()]),
    ] {
        // Only `Never` reaches the timeout. A panic takes a while to be reported.
        let timeout = Duration::from_millis(if matches!(behaviour, Behaviour::Never) { 50 } else { 30_000 });
        assert_eq!(outcomes(timeout, move || Ok(ScriptedExporter(behaviour))), expected, "{behaviour:?}");
    }
    assert_eq!(
        outcomes(Duration::from_secs(30), || Err("no configuration".into())),
        [failed.clone(), failed]
    );
}

#[test]
fn an_exporter_needs_an_endpoint_for_the_notice() {
    let exporter = || Ok(ScriptedExporter(Behaviour::Ok));
    let builder = Telemetry::builder("weave", "1.4.0").data_points(&DATA_POINTS).deliver_to(exporter);
    assert!(builder.check().is_err_and(|what| what.contains("endpoint")));
}
