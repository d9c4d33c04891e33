//! How a tool author describes telemetry.

use std::time::Duration;

use super::own_command::OwnCommand;
use crate::consent::{Decision, Reason};
use crate::data_points::Version;
#[cfg(feature = "spool")]
use crate::spool::limits::Limits;
use crate::{DataPoints, Telemetry};

/// What goes to the maker from CI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InCi {
    /// Nothing, unless `telemetry on` was said there.
    OperatorOnly,
    /// Runs, as from everywhere.
    AlsoMaker,
}

/// Describes a tool's telemetry. Each method returns the changed description; [`Builder::start`] comes last.
///
/// | setting | default |
/// | --- | --- |
/// | [`data_points`](Builder::data_points) | none: needed for anything to be recorded |
/// | [`opt_out_var`](Builder::opt_out_var) | none besides `<TOOL>_TELEMETRY`, `DO_NOT_TRACK` and `OTEL_SDK_DISABLED` |
/// | [`endpoint`](Builder::endpoint) | none: `OTEL_EXPORTER_OTLP_ENDPOINT` decides, and without it nothing is recorded |
/// | `deliver_to` (feature `sdk`) | OTLP |
/// | [`telemetry_command`](Builder::telemetry_command) | none: no text names one |
/// | [`silence_var`](Builder::silence_var) | none |
/// | [`opt_in`](Builder::opt_in) | off: telemetry is on after the notice was shown |
/// | [`in_ci`](Builder::in_ci) | nothing goes to the maker |
/// | [`wait_in_ci`](Builder::wait_in_ci) | 300 ms |
/// | [`limits`](Builder::limits) | 10 MiB, 1,000 runs, 28 days |
#[derive(Debug, Clone)]
#[must_use = "describes telemetry; nothing happens before `.start()`"]
pub struct Builder {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) data_points: Option<&'static DataPoints>,
    pub(crate) own_command: Option<OwnCommand>,
    pub(crate) opt_out_vars: Vec<&'static str>,
    pub(crate) silence_vars: Vec<&'static str>,
    pub(crate) endpoint: Option<&'static str>,
    pub(crate) opt_in: bool,
    pub(crate) in_ci: InCi,
    pub(crate) wait_in_ci: Duration,
    /// Described by the companion program, which knows little of the tool: neither its endpoint nor its version, nor
    /// whether it asks first.
    #[cfg(feature = "spool")]
    pub(crate) is_from_outside: bool,
    #[cfg(feature = "spool")]
    pub(crate) limits: Limits,
    #[cfg(feature = "spool")]
    pub(crate) uploader_life: Duration,
    /// What reaches the maker's endpoint, if it is not OTLP.
    #[cfg(feature = "sdk")]
    pub(crate) exporter: Option<crate::sdk::ExporterFactory>,
}

impl Builder {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version: Version::beginning_of(version).unwrap_or(version),
            data_points: None,
            own_command: None,
            opt_out_vars: Vec::new(),
            silence_vars: Vec::new(),
            endpoint: None,
            opt_in: false,
            in_ci: InCi::OperatorOnly,
            wait_in_ci: Duration::from_millis(300),
            #[cfg(feature = "spool")]
            is_from_outside: false,
            #[cfg(feature = "spool")]
            limits: Limits::default(),
            #[cfg(feature = "spool")]
            uploader_life: super::uploading::LIFE,
            #[cfg(feature = "sdk")]
            exporter: None,
        }
    }

    /// The approved data points, made by [`data_points!`](crate::data_points!).
    pub fn data_points(mut self, data_points: &'static DataPoints) -> Self {
        self.data_points = Some(data_points);
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
        self.own_command = Some(OwnCommand(typed));
        self
    }

    /// A variable that opts out with any value but empty, `0`, `false`, `no` and `off`. May be called more than
    /// once.
    pub fn opt_out_var(mut self, name: &'static str) -> Self {
        self.opt_out_vars.push(name);
        self
    }

    /// A variable that silences the first-run notice, such as `DOTNET_NOLOGO`. Telemetry stays off until the
    /// notice was shown.
    pub fn silence_var(mut self, name: &'static str) -> Self {
        self.silence_vars.push(name);
        self
    }

    /// The maker's own endpoint: the whole address of the traces signal, such as
    /// `https://telemetry.example.com/v1/traces`. Only https, except on loopback. The data points must then name
    /// a publisher.
    pub fn endpoint(mut self, address: &'static str) -> Self {
        self.endpoint = Some(address);
        self
    }

    /// Nothing is recorded before the person says `telemetry on`.
    pub fn opt_in(mut self) -> Self {
        self.opt_in = true;
        self
    }

    /// Whether runs in CI go to the maker. An operator's destination gets them in any case.
    pub fn in_ci(mut self, in_ci: InCi) -> Self {
        self.in_ci = in_ci;
        self
    }

    /// How long a command in CI, or one that is process 1 of its container, waits for the delivery of its run:
    /// what is detached there is ended with the job.
    pub fn wait_in_ci(mut self, wait: Duration) -> Self {
        self.wait_in_ci = wait;
        self
    }

    /// How much may wait for delivery, and for how long.
    #[cfg(feature = "spool")]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// An uploader's whole life: for this crate's own tests, which cannot wait for a minute.
    #[cfg(feature = "spool")]
    #[doc(hidden)]
    pub fn uploader_life(mut self, life: Duration) -> Self {
        self.uploader_life = life;
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
        if !is_tool_name(self.name) {
            return Err(format!(
                "the tool's name {:?} must be lower case letters, digits, `-`, `_` and `.`: it names a folder and a \
                 variable",
                self.name
            ));
        }
        if Version::parse(self.version).is_none() {
            return Err(format!(
                "the tool's version {:?} must begin with one to three numbers of at most five digits, as `1.2.3` does",
                self.version
            ));
        }
        if let Some(own_command) = self.own_command.filter(|command| !command.is_valid()) {
            return Err(format!(
                "the telemetry command {:?} must be what people type, such as `frob telemetry` or `frob --telemetry`: \
                 two or more words of letters, digits, `-`, `_` and `.`",
                own_command.0
            ));
        }
        let in_file = self.data_points.and_then(DataPoints::telemetry_command);
        if let (Some(OwnCommand(named)), Some(in_file)) = (self.own_command, in_file)
            && named != in_file
        {
            return Err(format!(
                "the telemetry command is {named:?} here and {in_file:?} in telemetry.toml, from which the tool's \
                 documents are made: name it in one place"
            ));
        }
        let Some(data_points) = self.data_points else {
            return Err("no data points are approved: call `.data_points(&DATA_POINTS)`".to_owned());
        };
        if self.endpoint.is_some() && data_points.publisher().is_none() {
            return Err("the maker has an endpoint but the data points name no [publisher]".to_owned());
        }
        #[cfg(feature = "sdk")]
        if self.exporter.is_some() && self.endpoint.is_none() {
            return Err(
                "an exporter is to deliver, but nobody says where to: call `.endpoint(address)`".to_owned()
            );
        }
        Ok(())
    }

    /// The tool's own command about its telemetry, as people type it. Nothing if it has none.
    pub(crate) fn own_command(&self) -> Option<OwnCommand> {
        self.own_command.or_else(|| self.data_points?.telemetry_command().map(OwnCommand))
    }

    /// What a person types to say `on`, `off`, `show` or another word to the tool's telemetry. Nothing if the tool has
    /// no command for that: then a text names what is always right, a variable or a file. The companion program names
    /// itself, since whoever reads its texts has it; a reader of the tool's own texts may not.
    #[cfg(feature = "spool")]
    pub(crate) fn typed(&self, word: &str) -> Option<String> {
        if self.is_from_outside {
            return Some(format!("tool-telemetry {word} {}", self.name));
        }
        self.own_command().map(|OwnCommand(typed)| format!("{typed} {word}"))
    }

    /// Whether this process was started for the tool's own command about its telemetry.
    #[cfg(feature = "spool")]
    pub(crate) fn is_about_telemetry(&self) -> bool {
        self.own_command().is_some_and(|command| command.is_called(std::env::args_os()))
    }

    /// Starts telemetry. Must be the first statement of `main`: the uploader is this same program, and is
    /// recognised here.
    ///
    /// Never fails, and does nothing when telemetry is off; [`Telemetry::decision`] says what decided it. The
    /// first call in a process counts.
    pub fn start(self) -> Telemetry {
        if let Err(what) = self.check() {
            return Telemetry::off(self, Reason::SetUp(what));
        }
        #[cfg(feature = "spool")]
        return super::recording::start(self);
        #[cfg(not(feature = "spool"))]
        Telemetry::off(self, Reason::NotCompiled)
    }
}

impl Telemetry {
    pub(crate) fn off(builder: Builder, reason: Reason) -> Self {
        Self {
            builder,
            decision: Decision { on: false, reason },
            #[cfg(feature = "spool")]
            recording: None,
            #[cfg(feature = "spool")]
            notice: None,
            #[cfg(feature = "spool")]
            is_notice_shown: std::sync::Once::new(),
        }
    }
}

/// Whether a text may be a tool's name, which names a folder and a variable.
pub fn is_tool_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAMED: DataPoints = DataPoints {
        publisher: None,
        telemetry_command: Some("frob telemetry"),
        spans: &[],
        data_points: &[],
        on_run: &[],
    };

    #[test]
    fn the_documents_and_the_tool_name_the_same_command() {
        let tool = Builder::new("frob", "1.0.0").data_points(&NAMED);
        assert_eq!(tool.own_command(), Some(OwnCommand("frob telemetry")), "the file is enough");
        assert!(tool.clone().telemetry_command("frob telemetry").check().is_ok());
        let other = tool.telemetry_command("frob --telemetry").check().expect_err("two names");
        assert!(
            other.contains("\"frob --telemetry\" here and \"frob telemetry\" in telemetry.toml"),
            "{other}"
        );
        assert!(Builder::new("frob", "1.0.0").telemetry_command("telemetry").check().is_err());
    }
}
