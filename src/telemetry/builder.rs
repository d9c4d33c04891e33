//! How a tool author describes telemetry.

use std::time::Duration;

use crate::consent::{Decision, Reason};
use crate::model::own_command::OwnCommand;
use crate::model::settings::{CiPolicy, Limits, Settings};
#[cfg(feature = "sdk")]
use crate::sdk::ExporterFactory;
use crate::{DataPoints, Telemetry};

/// Describes a tool's telemetry. Each method returns the changed description; [`Builder::start`] comes last.
///
/// | setting | default |
/// | --- | --- |
/// | [`data_points`](Builder::data_points) | none: needed for anything to be recorded |
/// | [`opt_out_var`](Builder::opt_out_var) | none besides `<TOOL>_TELEMETRY`, `DO_NOT_TRACK` and `OTEL_SDK_DISABLED` |
/// | [`endpoint`](Builder::endpoint) | none: `OTEL_EXPORTER_OTLP_ENDPOINT` decides, and without it nothing is recorded |
/// | `deliver_to` (feature `sdk`) | OTLP |
/// | [`telemetry_command`](Builder::telemetry_command) | none: no text names one |
/// | [`suppress_notice_var`](Builder::suppress_notice_var) | none |
/// | [`opt_in`](Builder::opt_in) | off: telemetry is on after the notice was shown |
/// | [`ci_policy`](Builder::ci_policy) | nothing goes to the maker |
/// | [`ci_wait`](Builder::ci_wait) | 300 ms |
/// | [`limits`](Builder::limits) | 10 MiB, 1,000 runs, 28 days |
#[derive(Debug, Clone)]
#[must_use = "describes telemetry; nothing happens before `.start()`"]
pub struct Builder {
    pub(crate) settings: Settings,
    /// Delivers to the author's endpoint in place of OTLP.
    #[cfg(feature = "sdk")]
    pub(crate) exporter: Option<ExporterFactory>,
}

impl Builder {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            settings: Settings::new(name, version),
            #[cfg(feature = "sdk")]
            exporter: None,
        }
    }

    /// The approved data points, made by [`data_points!`](crate::model::data_points!).
    pub fn data_points(mut self, data_points: &'static DataPoints) -> Self {
        self.settings.data_points = Some(data_points);
        self
    }

    /// The tool's own command about its telemetry, as people type it: `frob telemetry`, `cargo frob telemetry`, or
    /// `frob --telemetry` in a tool without subcommands. Its words are those of
    /// `TelemetryCommand` (feature `clap`): `on`, `off`, `status`, `show`, `flush` and `purge`.
    ///
    /// The notice, `status` and every error name it. Unless it is named here or in `telemetry.toml`
    /// (`telemetry_command = "frob telemetry"`, from which `tool-telemetry document` has it too) there is none:
    /// `just telemetry off` is the user's own business in a tool such as `just`. Texts then name the variable, and the
    /// first argument `telemetry` means nothing. For such a tool `tool-telemetry off just`, of the companion program,
    /// does the same.
    pub fn telemetry_command(mut self, typed: &'static str) -> Self {
        self.settings.own_command = Some(OwnCommand(typed));
        self
    }

    /// A variable that opts out with any value but empty, `0`, `false`, `no` and `off`. May be called more than
    /// once.
    pub fn opt_out_var(mut self, name: &'static str) -> Self {
        self.settings.opt_out_vars.push(name);
        self
    }

    /// A variable that silences the first-run notice, such as `DOTNET_NOLOGO`. Telemetry stays off until the
    /// notice was shown.
    pub fn suppress_notice_var(mut self, name: &'static str) -> Self {
        self.settings.suppress_notice_vars.push(name);
        self
    }

    /// The maker's own endpoint: the whole address of the traces signal, such as
    /// `https://telemetry.example.com/v1/traces`. Only https, except on loopback. The data points must then name
    /// a publisher.
    pub fn endpoint(mut self, address: &'static str) -> Self {
        self.settings.endpoint = Some(address);
        self
    }

    /// Nothing is recorded before the person says `telemetry on`.
    pub fn require_opt_in(mut self) -> Self {
        self.settings.requires_opt_in = true;
        self
    }

    /// Whether runs in CI go to the maker. An operator's destination gets them in any case.
    pub fn ci_policy(mut self, ci_policy: CiPolicy) -> Self {
        self.settings.ci_policy = ci_policy;
        self
    }

    /// How long a command in CI, or one that is process 1 of its container, waits for the delivery of its run:
    /// what is detached there is ended with the job.
    pub fn ci_wait(mut self, wait: Duration) -> Self {
        self.settings.ci_wait = wait;
        self
    }

    /// How much may wait for delivery, and for how long.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// An uploader's whole life: for this crate's own tests, which cannot wait for a minute.
    #[doc(hidden)]
    pub fn uploader_life(mut self, life: Duration) -> Self {
        self.settings.uploader_life = life;
        self
    }

    /// Checks what no compiler can: for a test of the tool's.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong and what to do. [`Builder::start`] then leaves telemetry off.
    ///
    /// ```
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// use tool_telemetry::Telemetry;
    ///
    /// assert!(Telemetry::builder("frob", "1.0.0").data_points(&DATA_POINTS).check().is_ok());
    /// assert!(Telemetry::builder("My Tool", "1.0.0").data_points(&DATA_POINTS).check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), String> {
        self.settings.check()
    }

    /// Has the uploader deliver through this exporter what goes to the maker's [`endpoint`](Builder::endpoint),
    /// instead of OTLP. The endpoint must be named all the same: it is what the person is told.
    ///
    /// The exporter is made in the uploader, once, from nothing but what the program itself knows: the uploader has
    /// neither the person's `OTEL_*` variables nor their folder, and its output goes nowhere. It works on a thread
    /// of its own without an asynchronous runtime; one that needs a runtime brings it along.
    ///
    /// An exporter can only say yes or no. `Ok`, from the export and from the flush that follows it, means that the
    /// runs are delivered. Anything else (an error, a panic, no answer within ten seconds, an exporter that cannot be
    /// made) means that they are tried again later, with growing waits, until they are too old.
    ///
    /// An operator's destination gets OTLP, as ever.
    ///
    /// ```
    /// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
    /// use tool_telemetry::Telemetry;
    ///
    /// let description = Telemetry::builder("frob", "1.0.0")
    ///     .data_points(&DATA_POINTS)
    ///     .endpoint("https://spans.example.com/in")
    ///     .deliver_to(|| Ok(opentelemetry_stdout::SpanExporter::default()));
    /// ```
    #[cfg(feature = "sdk")]
    pub fn deliver_to<E: opentelemetry_sdk::trace::SpanExporter + 'static>(
        mut self,
        exporter: impl Fn() -> Result<E, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.settings.has_exporter = true;
        self.exporter = Some(ExporterFactory::new(exporter));
        self
    }

    /// Starts telemetry. Must be the first statement of `main`: the uploader is this same program, and is
    /// recognised here.
    ///
    /// Never fails, and does nothing when telemetry is off; [`Telemetry::decision`] says what decided it. The
    /// first call in a process counts.
    pub fn start(self) -> Telemetry {
        if let Err(what) = self.check() {
            return Telemetry::off(self.settings, Reason::InvalidSetup(what));
        }
        super::recording::start(self)
    }
}

impl Telemetry {
    pub(crate) fn off(settings: Settings, reason: Reason) -> Self {
        Self {
            settings,
            decision: Decision { is_on: false, reason },
            recording: None,
            notice: None,
            is_notice_shown: std::sync::Once::new(),
        }
    }
}
