//! One tool in one state with one receiver.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::behaviour::Behaviour;
use crate::receivers::Receivers;
use tool_telemetry_benches::figures::Spread;
use tool_telemetry_benches::program::{self, Cost, Program};
use tool_telemetry_benches::spool::{self, Home};
use tool_telemetry_benches::tools::{BuiltTool, SendMode};

/// The spans of one run, or the events of a library without spans.
const SPANS: u64 = 5;
/// The tools' exit code.
const EXIT_CODE: i32 = 7;
/// The number of rounds for a case that takes longer than this.
const SLOW: [(Duration, usize); 2] = [(Duration::from_secs(10), 2), (Duration::from_secs(1), 10)];

/// The state that a run starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing special.
    Plain,
    OptedOut,
    /// An uploader is running.
    UploaderRunning,
    /// No uploader is running, so the run starts one.
    UploaderStarts,
    /// The receiver requested a backoff.
    Backoff,
    /// An uploader is running, and this many runs are pending.
    Pending(usize),
    /// The library stores its events and does not send them.
    StoreOnly,
}

impl State {
    pub(crate) fn title(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::OptedOut => "opted out by a variable".to_owned(),
            Self::UploaderRunning => "no uploader needed".to_owned(),
            Self::UploaderStarts => "uploader started".to_owned(),
            Self::Backoff => "backing off".to_owned(),
            Self::Pending(runs) => format!("{runs} runs pending"),
            Self::StoreOnly => "stored only".to_owned(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) tool: Cost,
    /// The uploader's cost, if the run started one.
    pub(crate) uploader: Option<Cost>,
    pub(crate) arrived: u64,
    pub(crate) pending: u64,
}

/// A case and its measurements.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) built: &'a BuiltTool,
    pub(crate) state: State,
    pub(crate) behaviour: Option<Behaviour>,
    /// Whether the tool sends over TLS.
    pub(crate) tls: bool,
    program: Program,
    home: Home,
    receivers: &'a Receivers,
    lock: Option<File>,
    rounds: usize,
    /// One per round, in order.
    pub(crate) samples: Vec<Sample>,
    /// Peak memory in KiB.
    pub(crate) peak: Option<u64>,
    /// Nanoseconds from the first statement of `main` to the start of the tool's work.
    pub(crate) start: Option<f64>,
}

/// All cases of one tool.
pub(crate) fn all_of<'a>(
    built: &'a BuiltTool,
    receivers: &'a Receivers,
    quick: bool,
    root: &Path,
) -> Vec<Case<'a>> {
    let scenarios = scenarios(built, receivers, quick).into_iter().enumerate();
    let path = |position| root.join(format!("{}-{position}", built.tool.name));
    scenarios.map(|(position, scenario)| Case::new(built, receivers, scenario, path(position))).collect()
}

/// The state of the spool, the receiver's behaviour if one is needed, and how the tool sends.
type Scenario = (State, Option<Behaviour>, SendMode);

fn scenarios(built: &BuiltTool, receivers: &Receivers, quick: bool) -> Vec<Scenario> {
    let own = built.tool.sends;
    let mut scenarios: Vec<Scenario> = Vec::new();
    let each = |state, sends| receivers.behaviours().map(move |behaviour| (state, Some(behaviour), sends));
    match (built.tool.name, own) {
        ("spool-only", _) => {
            scenarios.push((State::OptedOut, None, own));
            scenarios.push((State::Plain, None, own));
        }
        (_, SendMode::Nothing) => scenarios.push((State::Plain, None, own)),
        (_, SendMode::Http) if built.tool.is_ours => {
            scenarios.push((State::OptedOut, None, own));
            scenarios.push((State::UploaderRunning, None, own));
            scenarios.push((State::Backoff, None, own));
            scenarios.extend(each(State::UploaderStarts, own));
            if !quick {
                scenarios.extend(each(State::UploaderStarts, SendMode::Https));
                scenarios.push((State::Pending(1_000), None, own));
                scenarios.push((State::Pending(10_000), None, own));
            }
        }
        (name, _) => {
            if name == "with-telemetry-kit" {
                scenarios.push((State::StoreOnly, None, own));
            }
            scenarios.extend(each(State::Plain, own));
        }
    }
    scenarios
}

impl<'a> Case<'a> {
    fn new(
        built: &'a BuiltTool,
        receivers: &'a Receivers,
        (state, behaviour, sends): Scenario,
        path: PathBuf,
    ) -> Self {
        // If nothing is sent, no receiver is needed.
        let endpoint = receivers.endpoint(sends, behaviour.unwrap_or(Behaviour::Refused));
        let home = Home::new(path, &endpoint).expect("a home directory");
        let mut environment = vec![
            ("HOME".to_owned(), home.path.clone().into_os_string()),
            ("XDG_STATE_HOME".to_owned(), home.path.join("state").into_os_string()),
            ("XDG_CONFIG_HOME".to_owned(), home.path.join("config").into_os_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint.clone().into()),
            ("BENCH_ENDPOINT".to_owned(), endpoint.into()),
            ("SSL_CERT_FILE".to_owned(), receivers.certificates.clone().into_os_string()),
        ];
        match state {
            State::OptedOut => environment.push(("BENCH_TOOL_TELEMETRY".to_owned(), "off".into())),
            State::StoreOnly => environment.push(("BENCH_STORE_ONLY".to_owned(), "1".into())),
            _ => {}
        }
        Self {
            built,
            state,
            behaviour,
            tls: sends == SendMode::Https,
            program: Program { path: built.path.clone(), environment },
            home,
            receivers,
            lock: None,
            rounds: 0,
            samples: Vec::new(),
            peak: None,
            start: None,
        }
    }
}

impl Case<'_> {
    /// Runs the tool once without a measurement, to create the directories and to choose the number of rounds.
    pub(crate) fn prepare(&mut self, rounds: usize) -> Result<(), Box<dyn Error>> {
        let first = self.program.run()?;
        self.wait_for_uploader()?;
        if let State::Pending(runs) = self.state {
            self.home.fill(runs)?;
            spool::flush_disk();
        }
        if matches!(self.state, State::UploaderRunning | State::Pending(_)) {
            self.lock = Some(self.home.lock()?);
        }
        self.reset()?;
        self.rounds =
            SLOW.iter().find(|(time, _)| first.wall > *time).map_or(rounds, |(_, slow)| rounds.min(*slow));
        if self.behaviour.is_none_or(|behaviour| behaviour == Behaviour::Immediate) {
            let mut peaks = Vec::new();
            let mut starts = Vec::new();
            for _ in 0..rounds.clamp(5, 20) {
                peaks.push(self.program.peak()? as f64);
                self.wait_for_uploader()?;
                self.reset()?;
                starts.extend(self.program.output_with("BENCH_PRINT_START")?.parse::<f64>());
                self.wait_for_uploader()?;
                self.reset()?;
            }
            self.peak = Spread::of(peaks).map(|peaks| peaks.median as u64);
            self.start = Spread::of(starts).map(|starts| starts.median);
        }
        Ok(())
    }

    /// Whether the case has another round after this one.
    pub(crate) fn has_round_after(&self, round: usize) -> bool {
        round + 1 < self.rounds
    }

    /// Runs the tool once and counts the spans.
    pub(crate) fn run(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        let before = self.arrived();
        let tool = self.program.run()?;
        let uploader = self.wait_for_uploader()?;
        let sample =
            Sample { round, tool, uploader, arrived: self.arrived() - before, pending: self.home.pending()? };
        if tool.code != Some(EXIT_CODE) && tool.wall < program::TIME_LIMIT {
            return Err(format!("{} ended with {:?}", self.title(), tool.code).into());
        }
        if self.built.tool.is_ours && sample.uploader.is_some() != (self.state == State::UploaderStarts) {
            return Err(
                format!("{}: an uploader started unexpectedly, or did not start", self.title()).into()
            );
        }
        self.samples.push(sample);
        self.reset()
    }

    pub(crate) fn title(&self) -> String {
        let mut title = self.built.tool.title.to_owned();
        let state = self.state.title();
        if !state.is_empty() {
            title = format!("{title}: {state}");
        }
        if self.tls && self.built.tool.is_ours { format!("{title}, over HTTPS") } else { title }
    }

    /// Lost spans per run, on average.
    pub(crate) fn lost(&self) -> f64 {
        let expected = match (self.built.tool.name, self.state) {
            ("bare" | "tracing-only", _) | (_, State::OptedOut) => 0,
            _ => SPANS,
        };
        let kept = |sample: &Sample| sample.arrived + self.pending(sample);
        let lost: u64 = self.samples.iter().map(|sample| expected.saturating_sub(kept(sample))).sum();
        lost as f64 / self.samples.len().max(1) as f64
    }

    /// Pending spans. A database also keeps the sent events.
    pub(crate) fn pending(&self, sample: &Sample) -> u64 {
        match self.built.tool.sends {
            // SQLite leaves copies of moved rows, which the search finds too.
            SendMode::Events => sample.pending.min(SPANS).saturating_sub(sample.arrived),
            _ => sample.pending,
        }
    }

    fn arrived(&self) -> u64 {
        self.behaviour.map_or(0, |behaviour| self.receivers.arrived(behaviour))
    }

    /// Kills an uploader whose receiver never answers.
    fn wait_for_uploader(&self) -> Result<Option<Cost>, Box<dyn Error>> {
        let is_silent = self.behaviour == Some(Behaviour::Silent);
        if is_silent {
            // Long enough to send the request.
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(program::orphans(is_silent)?.into_iter().next())
    }

    fn reset(&mut self) -> Result<(), Box<dyn Error>> {
        self.home.reset()?;
        if self.state == State::Backoff {
            self.home.back_off()?;
        }
        Ok(())
    }
}
