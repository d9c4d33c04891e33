//! The receivers: for each behaviour, one of each protocol.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use tool_telemetry_receiver::Receiver;

use crate::behaviour::Behaviour;
use crate::event_server::EventServer;
use crate::tls_proxy::TlsProxy;
use tool_telemetry_benches::tools::SendMode;

#[derive(Debug)]
pub(crate) struct Receivers {
    groups: Vec<ReceiverGroup>,
    /// The system's certificates and the receivers' own, for tools that send over HTTPS.
    pub(crate) certificates: std::path::PathBuf,
}

/// The receivers of one behaviour.
#[derive(Debug)]
struct ReceiverGroup {
    behaviour: Behaviour,
    /// Nothing listens if the behaviour is `Refused`.
    servers: Option<Servers>,
    closed_port: u16,
}

#[derive(Debug)]
struct Servers {
    otlp: Receiver,
    tls: TlsProxy,
    events: EventServer,
}

impl Receivers {
    pub(crate) fn start(behaviours: &[Behaviour], folder: &Path) -> Result<Self, Box<dyn Error>> {
        let certificates = folder.join("certificates.pem");
        let authority = crate::tls_proxy::Authority::new(&certificates)?;
        let start = |behaviour: Behaviour| -> Result<ReceiverGroup, Box<dyn Error>> {
            let servers = if behaviour == Behaviour::Refused {
                None
            } else {
                let otlp = Receiver::builder().always(behaviour.answer()).start()?;
                let tls = TlsProxy::start(&authority, &otlp.http_endpoint())?;
                Some(Servers { otlp, tls, events: EventServer::start(behaviour)? })
            };
            Ok(ReceiverGroup { behaviour, servers, closed_port: closed_port()? })
        };
        let groups = behaviours.iter().map(|behaviour| start(*behaviour)).collect::<Result<_, _>>()?;
        Ok(Self { groups, certificates })
    }

    pub(crate) fn behaviours(&self) -> impl Iterator<Item = Behaviour> + '_ {
        self.groups.iter().map(|group| group.behaviour)
    }

    fn group(&self, behaviour: Behaviour) -> &ReceiverGroup {
        self.groups.iter().find(|group| group.behaviour == behaviour).expect("a receiver that was started")
    }

    /// The base URL for a tool that sends in this way.
    pub(crate) fn endpoint(&self, sends: SendMode, behaviour: Behaviour) -> String {
        let group = self.group(behaviour);
        match (&group.servers, sends) {
            (None, SendMode::Https) => format!("https://localhost:{}", group.closed_port),
            (None, _) => format!("http://127.0.0.1:{}", group.closed_port),
            (Some(servers), SendMode::Https) => servers.tls.endpoint(),
            (Some(servers), SendMode::Grpc) => servers.otlp.grpc_endpoint(),
            (Some(servers), SendMode::Events) => servers.events.endpoint(),
            (Some(servers), SendMode::Http | SendMode::Nothing) => servers.otlp.http_endpoint(),
        }
    }

    /// The spans that have arrived so far, or the events of a library without spans.
    pub(crate) fn arrived(&self, behaviour: Behaviour) -> u64 {
        self.group(behaviour)
            .servers
            .as_ref()
            .map_or(0, |servers| servers.otlp.spans().len() as u64 + servers.events.arrived())
    }
}

/// A port on which nothing listens. It is below the kernel's ephemeral range, because a client whose own port is the
/// destination port connects to itself.
fn closed_port() -> Result<u16, Box<dyn Error>> {
    (20_000..30_000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no free port".into())
}
