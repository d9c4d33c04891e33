//! Cells: how many runs of a tool had which values in which week, and how many installations in which period.
//!
//! The cells of a trace are a function of what is kept of it and of nothing else. A trace that changes takes its old
//! cells back and adds its new ones, and a recount from the kept traces finds the same numbers.
//!
//! | table | values | counts |
//! | --- | --- | --- |
//! | `runs` | version | runs |
//! | a key, such as `dotnet.command` | version, value | runs in which the value occurs, on the run or on its steps |
//! | `duration` | version, bucket | runs |
//! | `duration of STEP` | bucket | steps |
//! | `KEY and error.type`, `KEY and duration` | command; error type or bucket | runs; KEY is the tool's `command` |
//! | `KEY and KEY…` | the values | runs; for each `[[count]]` of several keys |
//!
//! Counts have cells of their own: [`CountCell`].

mod tables;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::{Value as Json, json};
use tool_telemetry_definition::ERROR_TYPE;

use crate::cell::Cell;
use crate::counts::{CountCell, to_json};
use crate::shape::{Role, Shape, ShapeContent};
use crate::time::Week;
use crate::trace::{Span, Trace};

pub use tables::Tables;
use tables::crossed;

/// Attributes that say the same of every run of a tool.
const CONSTANT: &str = "process.executable.name";

/// Cells whose number changes, and by how much.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of runs.
    pub cells: Vec<(Cell, i64)>,
    /// Of installations.
    pub counts: Vec<(CountCell, i64)>,
}

/// Numbers to add to cells, which may be negative.
#[derive(Debug)]
pub struct Tally<'a> {
    tables: &'a Tables,
    cells: Vec<Cell>,
    counts: Vec<i64>,
    by_cell: HashMap<Cell, usize>,
    /// By the shape of a count, and the first week of its period.
    counted: HashMap<(Arc<Shape>, Week), i64>,
    known: Vec<KnownShape>,
    by_shape: HashMap<(Arc<Shape>, Week), usize, foldhash::quality::RandomState>,
    /// By the address of a shape: the spans of a request share theirs.
    by_address: HashMap<(*const Shape, Week), usize, RandomState>,
    /// The shapes, kept so that no other shape gets the same address.
    shapes: Vec<Arc<Shape>>,
    durations: Vec<Vec<usize>>,
    by_duration: HashMap<(usize, u16), usize, RandomState>,
    /// The crossings of a run with a step of it.
    by_pair: HashMap<(usize, usize), Vec<usize>, RandomState>,
}

/// The cells of a shape, without those of its duration.
#[derive(Debug)]
struct KnownShape {
    shape: Arc<Shape>,
    role: Role,
    cells: Vec<usize>,
}

impl<'a> Tally<'a> {
    /// A tally of nothing.
    pub fn new(tables: &'a Tables) -> Self {
        Self {
            tables,
            cells: Vec::new(),
            counts: Vec::new(),
            by_cell: HashMap::new(),
            counted: HashMap::new(),
            known: Vec::new(),
            by_shape: HashMap::default(),
            by_address: HashMap::default(),
            shapes: Vec::new(),
            durations: Vec::new(),
            by_duration: HashMap::default(),
            by_pair: HashMap::default(),
        }
    }

    /// Adds the cells of a trace `sign` times.
    pub fn add(&mut self, trace: &Trace, sign: i64) {
        if self.is_left_out(trace) {
            return;
        }
        if trace.is_count() {
            for span in &trace.spans {
                *self.counted.entry((Arc::clone(&span.shape), span.hour.week())).or_default() += sign;
            }
            return;
        }
        let week = trace.week();
        let is_alone = trace.spans.len() == 1;
        let mut cells: Vec<(usize, usize)> = Vec::new();
        for (place, span) in trace.spans.iter().enumerate() {
            let known = self.known(span, week);
            if is_alone {
                for cell in &self.known[known].cells {
                    self.counts[*cell] += sign;
                }
            } else {
                let run = run_of(trace, place);
                cells.extend(self.known[known].cells.iter().map(|cell| (run, *cell)));
                if run != place {
                    let crossed = self.crossed(&trace.spans[run], span, week);
                    cells.extend(crossed.iter().map(|cell| (run, *cell)));
                }
            }
            // Not once a run: the steps are what is counted.
            let duration = self.duration(known, week, bucket(span.duration));
            for cell in &self.durations[duration] {
                self.counts[*cell] += sign;
            }
        }
        cells.sort_unstable();
        cells.dedup();
        for (_, cell) in cells {
            self.counts[cell] += sign;
        }
    }

    /// Whether an operator left this trace out of the cells.
    fn is_left_out(&self, trace: &Trace) -> bool {
        let mut marks = self.tables.left_out.iter().filter(|mark| mark.covers(trace)).peekable();
        if marks.peek().is_none() {
            return false;
        }
        let all = Tables { left_out: Vec::new(), ..self.tables.clone() };
        let mut tally = Tally::new(&all);
        tally.add(trace, 1);
        let changes = tally.changes();
        marks.any(|mark| {
            changes.cells.iter().any(|(cell, _)| mark.is_of_cell(cell))
                || changes.counts.iter().any(|(cell, _)| mark.is_of_count(cell))
        })
    }

    /// The cells whose number changes.
    pub fn changes(self) -> Changes {
        let cells = self.cells.into_iter().zip(self.counts).filter(|(_, count)| *count != 0).collect();
        let mut counts: BTreeMap<CountCell, i64> = BTreeMap::new();
        for ((shape, week), number) in self.counted {
            if let Some(cell) = CountCell::of(&shape.content(), week) {
                *counts.entry(cell).or_default() += number;
            }
        }
        Changes { cells, counts: counts.into_iter().filter(|(_, number)| *number != 0).collect() }
    }

    fn known(&mut self, span: &Span, week: Week) -> usize {
        let address = (Arc::as_ptr(&span.shape), week);
        if let Some(known) = self.by_address.get(&address) {
            return *known;
        }
        let shape = (Arc::clone(&span.shape), week);
        let known = match self.by_shape.get(&shape) {
            Some(known) => *known,
            None => {
                let content = span.shape.content();
                let cells = self.cells_of(&content, week);
                self.known.push(KnownShape { shape: Arc::clone(&span.shape), role: content.role, cells });
                self.by_shape.insert(shape, self.known.len() - 1);
                self.known.len() - 1
            }
        };
        self.shapes.push(Arc::clone(&span.shape));
        self.by_address.insert(address, known);
        known
    }

    fn duration(&mut self, known: usize, week: Week, bucket: u16) -> usize {
        if let Some(duration) = self.by_duration.get(&(known, bucket)) {
            return *duration;
        }
        let (shape, role) = (Arc::clone(&self.known[known].shape), self.known[known].role);
        let content = shape.content();
        let tool = content.tool();
        let mut cells = Vec::new();
        match role {
            Role::Run => {
                cells.push(self.place(tool, week, "duration", &[json!(content.version()), json!(bucket)]));
                if let Some((key, command)) = self.command(&content) {
                    let table = format!("{key} and duration");
                    cells.push(self.place(tool, week, &table, &[command, json!(bucket)]));
                }
            }
            Role::Step => {
                let table = format!("duration of {}", content.name);
                cells.push(self.place(tool, week, &table, &[json!(bucket)]));
            }
            Role::Count(_) => {}
        }
        self.durations.push(cells);
        self.by_duration.insert((known, bucket), self.durations.len() - 1);
        self.durations.len() - 1
    }

    fn cells_of(&mut self, content: &ShapeContent<'_>, week: Week) -> Vec<usize> {
        let tool = content.tool();
        let version = json!(content.version());
        let mut cells = Vec::new();
        for (key, value) in content.attributes.iter().filter(|(key, _)| *key != CONSTANT) {
            cells.push(self.place(tool, week, key, &[version.clone(), to_json(*value)]));
        }
        if content.role == Role::Run {
            cells.push(self.place(tool, week, "runs", &[version]));
            if let Some((key, command)) = self.command(content) {
                let error = content.attributes.iter().find(|(key, _)| *key == ERROR_TYPE);
                let error = error.map_or(Json::Null, |(_, value)| to_json(*value));
                cells.push(self.place(tool, week, &format!("{key} and {ERROR_TYPE}"), &[command, error]));
            }
            cells.extend(self.crossings(content, None, week));
        }
        cells
    }

    /// The cells of a run and one of its steps together.
    fn crossed(&mut self, run: &Span, step: &Span, week: Week) -> Vec<usize> {
        if self.tables.crossings.is_empty() || run.shape.role() != Role::Run {
            return Vec::new();
        }
        let pair = (self.known(run, week), self.known(step, week));
        if let Some(cells) = self.by_pair.get(&pair) {
            return cells.clone();
        }
        let cells = self.crossings(&run.shape.content(), Some(&step.shape.content()), week);
        self.by_pair.entry(pair).or_insert(cells).clone()
    }

    fn crossings(
        &mut self,
        run: &ShapeContent<'_>,
        step: Option<&ShapeContent<'_>>,
        week: Week,
    ) -> Vec<usize> {
        let tables: &'a Tables = self.tables;
        let asked_for = tables.crossings_of(run).filter_map(|of| Some((of, crossed(of, run, step)?)));
        asked_for.map(|(of, values)| self.place(run.tool(), week, &of.join(" and "), &values)).collect()
    }

    fn command(&self, content: &ShapeContent<'_>) -> Option<(&'a str, Json)> {
        let key = self.tables.commands.get(content.tool())?;
        let (_, value) = content.attributes.iter().find(|(name, _)| name == key)?;
        Some((key, to_json(*value)))
    }

    fn place(&mut self, tool: &str, week: Week, table: &str, values: &[Json]) -> usize {
        let values = Json::from(values).to_string();
        let cell = Cell { tool: tool.to_owned(), week, table: table.to_owned(), values };
        *self.by_cell.entry(cell).or_insert_with_key(|cell| {
            self.cells.push(cell.clone());
            self.counts.push(0);
            self.cells.len() - 1
        })
    }
}

/// The place of the run that a span belongs to. A span that reaches no run belongs to its topmost ancestor.
fn run_of(trace: &Trace, mut place: usize) -> usize {
    // A sender decides on the parents, so they may go round in a circle.
    for _ in 0..trace.spans.len() {
        let span = &trace.spans[place];
        if span.shape.role() == Role::Run {
            break;
        }
        let above =
            span.parent.and_then(|parent| trace.spans.binary_search_by(|there| there.id.cmp(&parent)).ok());
        match above {
            Some(above) => place = above,
            None => break,
        }
    }
    place
}

/// The bucket of a duration in an exponential histogram: four buckets a doubling, and bucket 0 for no time at all.
/// In OpenTelemetry's terms it is the index at scale 2, of nanoseconds, and 1.
pub fn bucket(nanos: u64) -> u16 {
    // 2^(1/4), 2^(2/4) and 2^(3/4) as fractions of 2^63.
    const STEPS: [u64; 3] = [0x9837_f051_8db8_a96f, 0xb504_f333_f9de_6484, 0xd744_fcca_d69d_6af4];
    if nanos == 0 {
        return 0;
    }
    let zeros = nanos.leading_zeros();
    let steps = STEPS.iter().filter(|step| nanos << zeros >= **step).count();
    1 + 4 * (63 - zeros) as u16 + steps as u16
}

/// The shortest duration in a bucket, in nanoseconds.
pub fn bucket_start(bucket: u16) -> f64 {
    if bucket == 0 { 0.0 } else { (f64::from(bucket - 1) / 4.0).exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Period, Value};
    use crate::time::Hour;
    use crate::trace::tests::{run, shape, step};

    const HASH: &str = "0123456789abcdef0123456789abcdef";

    fn tables() -> Tables {
        let keys = ["frob.command error.type", "frob.command frob.framework", "frob.command service.version"];
        let keys = keys.map(|keys| keys.split(' ').map(str::to_owned).collect()).to_vec();
        Tables {
            commands: [("frob".to_owned(), "frob.command".to_owned())].into(),
            crossings: [(u128::from_str_radix(HASH, 16).unwrap().to_be_bytes(), keys)].into(),
            left_out: Vec::new(),
        }
    }

    /// A span that carries the hash of its telemetry.toml.
    fn with_hash(span: Span) -> Span {
        let mut content = span.shape.content();
        content.resource.push(("tool_telemetry.data_points", Value::Text(HASH)));
        Span { shape: Arc::new(Shape::new(&content)), ..span.clone() }
    }

    fn told(traces: &[(&Trace, i64)]) -> Vec<String> {
        let tables = tables();
        let mut tally = Tally::new(&tables);
        for (trace, sign) in traces {
            tally.add(trace, *sign);
        }
        let changes = tally.changes();
        let cells =
            changes.cells.iter().map(|(cell, count)| format!("{} {} {count}", cell.table, cell.values));
        let counts =
            changes.counts.iter().map(|(cell, count)| format!("{} {} {count}", cell.keys, cell.values));
        let mut lines: Vec<String> = cells.chain(counts).collect();
        lines.sort();
        lines
    }

    fn failed_build() -> Span {
        let mut attributes = vec![("process.executable.name", Value::Text("frob"))];
        attributes.extend([("frob.command", Value::Text("build")), ("error.type", Value::Text("_OTHER"))]);
        run(1, 1_000, &attributes)
    }

    #[test]
    fn a_run_counts_in_each_of_its_tables() {
        let trace = Trace::new([7; 16], vec![failed_build()]);
        let expected = [
            r#"duration ["1.2.0",40] 1"#,
            r#"error.type ["1.2.0","_OTHER"] 1"#,
            r#"frob.command ["1.2.0","build"] 1"#,
            r#"frob.command and duration ["build",40] 1"#,
            r#"frob.command and error.type ["build","_OTHER"] 1"#,
            r#"runs ["1.2.0"] 1"#,
        ];
        assert_eq!(told(&[(&trace, 1)]), expected);
        assert_eq!(told(&[(&trace, 1), (&trace, -1)]), [""; 0]);
    }

    #[test]
    fn a_value_on_several_steps_of_a_run_counts_once_for_each_run() {
        let net = [("frob.framework", Value::Text("net8.0"))];
        let mut spans = vec![run(1, 0, &[]), step(2, 1, "target", &net), step(3, 2, "target", &net)];
        // A second run of the same trace, and a step whose run has not arrived.
        spans.extend([run(4, 0, &[]), step(5, 4, "target", &net), step(6, 200, "target", &net)]);
        let told = told(&[(&Trace::new([7; 16], spans), 1)]);
        assert!(told.contains(&r#"frob.framework ["1.2.0","net8.0"] 3"#.to_owned()), "{told:?}");
        assert!(told.contains(&r#"runs ["1.2.0"] 2"#.to_owned()), "{told:?}");
        assert!(told.contains(&r#"duration of target [10] 4"#.to_owned()), "{told:?}");
    }

    #[test]
    fn a_crossing_counts_each_pair_of_a_run_and_its_steps_once() {
        let framework = |text| [("frob.framework", Value::Text(text))];
        let mut spans = vec![failed_build()];
        spans.push(step(2, 1, "target", &framework("net8.0")));
        spans.push(step(3, 2, "target", &framework("net8.0")));
        spans.push(step(4, 1, "target", &framework("net9.0")));
        let crossings = |spans: Vec<Span>| {
            let mut told = told(&[(&Trace::new([7; 16], spans), 1)]);
            told.retain(|line| line.contains(" and ") && !line.contains("duration"));
            told
        };
        let expected = [
            r#"frob.command and error.type ["build","_OTHER"] 1"#,
            r#"frob.command and frob.framework ["build","net8.0"] 1"#,
            r#"frob.command and frob.framework ["build","net9.0"] 1"#,
            r#"frob.command and service.version ["build","1.2.0"] 1"#,
        ];
        assert_eq!(crossings(spans.clone().into_iter().map(with_hash).collect()), expected);
        // Nothing is asked for without a telemetry.toml.
        assert_eq!(crossings(spans), expected[..1]);
    }

    #[test]
    fn what_was_left_out_does_not_count_in_its_time() {
        let at = |hour: u32| {
            let mut span = failed_build();
            span.hour = Hour(hour);
            Trace::new([7; 16], vec![span])
        };
        let mut tables = tables();
        let mark = crate::marks::Mark::new(
            "frob",
            "frob.command",
            r#"["1.2.0","build"]"#,
            Hour(500_000),
            Hour(500_010),
        );
        tables.left_out.push(mark);
        let counts = |trace: &Trace| {
            let mut tally = Tally::new(&tables);
            tally.add(trace, 1);
            tally.changes().cells.len()
        };
        assert_eq!([499_999, 500_000, 500_009, 500_010].map(|hour| counts(&at(hour))), [6, 0, 0, 6]);
        assert_eq!(counts(&Trace::new([7; 16], vec![run(1, 0, &[])])), 2);
    }

    #[test]
    fn parents_in_a_circle_end() {
        let spans = vec![step(2, 3, "target", &[]), step(3, 2, "target", &[])];
        assert_eq!(told(&[(&Trace::new([7; 16], spans), 1)]), [r#"duration of target [10] 2"#]);
    }

    #[test]
    fn a_count_is_one_addition_to_its_table() {
        let mut span = run(1, 0, &[]);
        span.shape = shape(
            Role::Count(Period::Week),
            "count",
            &[("error.type", Value::Text("_OTHER")), ("dotnet.command", Value::Text("build"))],
        );
        let count = Trace::new([7; 16], vec![span]);
        let expected = [r#"["dotnet.command","error.type"] ["build","_OTHER"] 1"#];
        assert_eq!(told(&[(&count, 1)]), expected);
        let other = Trace::new([8; 16], count.spans.clone());
        assert_eq!(told(&[(&count, 1), (&other, 1), (&count, -1)]), expected);
    }

    #[test]
    fn buckets_are_four_a_doubling() {
        assert_eq!([0, 1, 2, 3, 4, 1_000].map(bucket), [0, 1, 5, 7, 9, 40]);
        for power in 0..64 {
            assert_eq!(bucket(1 << power), 1 + 4 * power as u16);
        }
        for nanos in [1_u64, 5, 99, 1_000_000, 123_456_789_012, u64::MAX] {
            let bucket = bucket(nanos);
            assert!(bucket_start(bucket) <= nanos as f64 && nanos as f64 <= bucket_start(bucket + 1));
        }
    }
}
