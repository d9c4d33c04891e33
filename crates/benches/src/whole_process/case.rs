//! One way of having telemetry, in one state, with one receiver.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::receivers::{Behaviour, Receivers};
use tool_telemetry_benches::figures::Spread;
use tool_telemetry_benches::program::{self, Cost, Program};
use tool_telemetry_benches::spool::{self, Home};
use tool_telemetry_benches::tools::{Built, Sends};

/// Spans of one run, or events of those that know no spans.
const SPANS: u64 = 5;
/// What the tools exit with.
const EXIT_CODE: i32 = 7;
/// Rounds for what takes longer than a second, and longer than ten.
const SLOW: [(Duration, usize); 2] = [(Duration::from_secs(10), 2), (Duration::from_secs(1), 10)];

/// What a run meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// What there is always.
    Plain,
    OptedOut,
    /// An uploader is at work already.
    AtWork,
    /// None is at work, so the run starts one.
    Starts,
    /// The receiver asked for patience.
    BacksOff,
    /// An uploader is at work, and so many runs wait for it.
    Waiting(usize),
    /// The library only stores.
    Stores,
}

impl State {
    pub(crate) fn title(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::OptedOut => "opted out by a variable".to_owned(),
            Self::AtWork => "no uploader needed".to_owned(),
            Self::Starts => "uploader started".to_owned(),
            Self::BacksOff => "backing off".to_owned(),
            Self::Waiting(runs) => format!("{runs} runs pending"),
            Self::Stores => "stored only".to_owned(),
        }
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) tool: Cost,
    /// The uploader, if one was started.
    pub(crate) uploader: Option<Cost>,
    pub(crate) arrived: u64,
    pub(crate) pending: u64,
}

/// A case, and what was measured of it.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) built: &'a Built,
    pub(crate) state: State,
    pub(crate) behaviour: Option<Behaviour>,
    /// Sent over TLS.
    pub(crate) tls: bool,
    program: Program,
    home: Home,
    receivers: &'a Receivers,
    lock: Option<File>,
    rounds: usize,
    /// In the order of the rounds.
    pub(crate) samples: Vec<Sample>,
    /// KiB.
    pub(crate) peak: Option<u64>,
    /// Nanoseconds from the first statement of `main` until the tool's work begins.
    pub(crate) start: Option<f64>,
}

/// All cases of one tool.
pub(crate) fn all_of<'a>(
    built: &'a Built,
    receivers: &'a Receivers,
    quick: bool,
    root: &Path,
) -> Vec<Case<'a>> {
    let http = built.tool.sends;
    let mut wanted: Vec<(State, Option<Behaviour>, Sends)> = Vec::new();
    let each = |state, sends| receivers.behaviours().map(move |behaviour| (state, Some(behaviour), sends));
    match (built.tool.name, http) {
        ("spool-only", _) => {
            wanted.push((State::OptedOut, None, http));
            wanted.push((State::Plain, None, http));
        }
        (_, Sends::Nothing) => wanted.push((State::Plain, None, http)),
        (_, Sends::Http) if built.tool.is_ours => {
            wanted.push((State::OptedOut, None, http));
            wanted.push((State::AtWork, None, http));
            wanted.push((State::BacksOff, None, http));
            wanted.extend(each(State::Starts, http));
            if !quick {
                wanted.extend(each(State::Starts, Sends::Https));
                wanted.push((State::Waiting(1_000), None, http));
                wanted.push((State::Waiting(10_000), None, http));
            }
        }
        (name, _) => {
            if name == "with-telemetry-kit" {
                wanted.push((State::Stores, None, http));
            }
            wanted.extend(each(State::Plain, http));
        }
    }
    let case = |(position, (state, behaviour, sends)): (usize, (State, Option<Behaviour>, Sends))| {
        // Where nothing is sent nobody listens.
        let endpoint = receivers.endpoint(sends, behaviour.unwrap_or(Behaviour::Refused));
        let path = root.join(format!("{}-{position}", built.tool.name));
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
            State::Stores => environment.push(("BENCH_KEEP".to_owned(), "1".into())),
            _ => {}
        }
        Case {
            built,
            state,
            behaviour,
            tls: sends == Sends::Https,
            program: Program { path: built.path.clone(), environment },
            home,
            receivers,
            lock: None,
            rounds: 0,
            samples: Vec::new(),
            peak: None,
            start: None,
        }
    };
    wanted.into_iter().enumerate().map(case).collect()
}

impl Case<'_> {
    /// A first run that does not count: it makes the folders, and shows how long the others will take.
    pub(crate) fn prepare(&mut self, rounds: usize) -> Result<(), Box<dyn Error>> {
        let first = self.program.run()?;
        self.wait_for_uploader()?;
        if let State::Waiting(runs) = self.state {
            self.home.fill(runs)?;
            spool::settle();
        }
        if matches!(self.state, State::AtWork | State::Waiting(_)) {
            self.lock = Some(self.home.lock()?);
        }
        self.reset()?;
        self.rounds =
            SLOW.iter().find(|(time, _)| first.wall > *time).map_or(rounds, |(_, slow)| rounds.min(*slow));
        if self.behaviour.is_none_or(|behaviour| behaviour == Behaviour::AtOnce) {
            let mut peaks = Vec::new();
            let mut starts = Vec::new();
            for _ in 0..rounds.clamp(5, 20) {
                peaks.push(self.program.peak()? as f64);
                self.wait_for_uploader()?;
                self.reset()?;
                starts.extend(self.program.told("BENCH_TELL_START")?.parse::<f64>());
                self.wait_for_uploader()?;
                self.reset()?;
            }
            self.peak = Spread::of(peaks).map(|peaks| peaks.median as u64);
            self.start = Spread::of(starts).map(|starts| starts.median);
        }
        Ok(())
    }

    /// Whether there is another round for it after this one.
    pub(crate) fn goes_on(&self, round: usize) -> bool {
        round + 1 < self.rounds
    }

    /// Runs it once, and counts.
    pub(crate) fn run(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        let before = self.arrived();
        let tool = self.program.run()?;
        let uploader = self.wait_for_uploader()?;
        let sample =
            Sample { round, tool, uploader, arrived: self.arrived() - before, pending: self.home.pending()? };
        if tool.code != Some(EXIT_CODE) && tool.wall < program::PATIENCE {
            return Err(format!("{} ended with {:?}", self.title(), tool.code).into());
        }
        if self.built.tool.is_ours && sample.uploader.is_some() != (self.state == State::Starts) {
            return Err(format!("{}: an uploader, or none, against expectation", self.title()).into());
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

    /// Spans that came to nothing, on average.
    pub(crate) fn lost(&self) -> f64 {
        let expected = match (self.built.tool.name, self.state) {
            ("bare" | "tracing-only", _) | (_, State::OptedOut) => 0,
            _ => SPANS,
        };
        let kept = |sample: &Sample| sample.arrived + self.waits(sample);
        let lost: u64 = self.samples.iter().map(|sample| expected.saturating_sub(kept(sample))).sum();
        lost as f64 / self.samples.len().max(1) as f64
    }

    /// Spans that wait. A database keeps what was sent as well.
    pub(crate) fn waits(&self, sample: &Sample) -> u64 {
        match self.built.tool.sends {
            // SQLite leaves copies of rows that it moved, which are found as well.
            Sends::Events => sample.pending.min(SPANS).saturating_sub(sample.arrived),
            _ => sample.pending,
        }
    }

    fn arrived(&self) -> u64 {
        self.behaviour.map_or(0, |behaviour| self.receivers.arrived(behaviour))
    }

    /// One that waits for an answer that never comes is killed: what it could still do is known.
    fn wait_for_uploader(&self) -> Result<Option<Cost>, Box<dyn Error>> {
        let hopeless = self.behaviour == Some(Behaviour::Never);
        if hopeless {
            // Long enough to have sent its request.
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(program::orphans(hopeless)?.into_iter().next())
    }

    fn reset(&mut self) -> Result<(), Box<dyn Error>> {
        self.home.reset()?;
        if self.state == State::BacksOff {
            self.home.back_off()?;
        }
        Ok(())
    }
}
