//! The receivers: one of each behaviour, for each protocol.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::events_server::EventsServer;
use crate::tls_front::TlsFront;
use tool_telemetry_benches::tools::Sends;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    AtOnce,
    After50,
    After300,
    /// 503.
    Unavailable,
    /// Nobody listens.
    Refused,
    /// It takes the request and says nothing.
    Never,
}

impl Behaviour {
    pub(crate) const ALL: [Self; 6] =
        [Self::AtOnce, Self::After50, Self::After300, Self::Unavailable, Self::Refused, Self::Never];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::After50 => "after 50 ms",
            Self::After300 => "after 300 ms",
            Self::Unavailable => "503",
            Self::Refused => "refused",
            Self::Never => "never",
        }
    }

    /// How long the answer takes, if there is one.
    pub(crate) fn delay(self) -> Duration {
        match self {
            Self::After50 => Duration::from_millis(50),
            Self::After300 => Duration::from_millis(300),
            _ => Duration::ZERO,
        }
    }

    fn answer(self) -> Answer {
        match self {
            Self::AtOnce | Self::Refused => Answer::Ok,
            Self::After50 | Self::After300 => Answer::Delay(self.delay()),
            Self::Unavailable => Answer::status(503),
            Self::Never => Answer::Hang,
        }
    }
}

/// All receivers.
#[derive(Debug)]
pub(crate) struct Receivers {
    each: Vec<One>,
    /// Certificates for who sends over HTTPS: the system's, and the receivers' own.
    pub(crate) certificates: std::path::PathBuf,
}

/// The receivers of one behaviour.
#[derive(Debug)]
struct One {
    behaviour: Behaviour,
    /// Nobody listens at the ports of one that refuses.
    at: Option<Listening>,
    refusing: u16,
}

#[derive(Debug)]
struct Listening {
    otlp: Receiver,
    tls: TlsFront,
    events: EventsServer,
}

impl Receivers {
    pub(crate) fn start(behaviours: &[Behaviour], folder: &Path) -> Result<Self, Box<dyn Error>> {
        let certificates = folder.join("certificates.pem");
        let authority = crate::tls_front::Authority::new(&certificates)?;
        let start = |behaviour: Behaviour| -> Result<One, Box<dyn Error>> {
            let at = if behaviour == Behaviour::Refused {
                None
            } else {
                let otlp = Receiver::builder().always(behaviour.answer()).start()?;
                let tls = TlsFront::start(&authority, &otlp.http_endpoint())?;
                Some(Listening { otlp, tls, events: EventsServer::start(behaviour)? })
            };
            Ok(One { behaviour, at, refusing: refusing_port()? })
        };
        let each = behaviours.iter().map(|behaviour| start(*behaviour)).collect::<Result<_, _>>()?;
        Ok(Self { each, certificates })
    }

    pub(crate) fn behaviours(&self) -> impl Iterator<Item = Behaviour> + '_ {
        self.each.iter().map(|one| one.behaviour)
    }

    fn one(&self, behaviour: Behaviour) -> &One {
        self.each.iter().find(|one| one.behaviour == behaviour).expect("a receiver that was started")
    }

    /// The base URL for a tool that sends in this way.
    pub(crate) fn endpoint(&self, sends: Sends, behaviour: Behaviour) -> String {
        let one = self.one(behaviour);
        match (&one.at, sends) {
            (None, Sends::Https) => format!("https://localhost:{}", one.refusing),
            (None, _) => format!("http://127.0.0.1:{}", one.refusing),
            (Some(at), Sends::Https) => at.tls.endpoint(),
            (Some(at), Sends::Grpc) => at.otlp.grpc_endpoint(),
            (Some(at), Sends::Events) => at.events.endpoint(),
            (Some(at), Sends::Http | Sends::Nothing) => at.otlp.http_endpoint(),
        }
    }

    /// Spans, or events of those that know no spans, that have arrived so far.
    pub(crate) fn arrived(&self, behaviour: Behaviour) -> u64 {
        self.one(behaviour).at.as_ref().map_or(0, |at| at.otlp.spans().len() as u64 + at.events.arrived())
    }
}

/// A port that nobody listens at. Not one of those that the kernel gives to who connects: somebody who connects to
/// their own port is connected.
fn refusing_port() -> Result<u16, Box<dyn Error>> {
    (20_000..30_000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no free port".into())
}
