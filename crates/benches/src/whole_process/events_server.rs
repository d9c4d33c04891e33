//! A server for libraries with protocols of their own: it counts the events in what is posted.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::receivers::Behaviour;

/// What each event of the tools has once.
const EVENT: &[u8] = b"\"bench-event\"";
/// What `telemetry-kit` takes for success; `rtb-telemetry` does not read it.
const SUCCESS: &str = r#"{"status":"success","accepted":5,"rejected":0,"message":""}"#;

/// The server; it listens until this program ends.
#[derive(Debug)]
pub(crate) struct EventsServer {
    port: u16,
    arrived: Arc<AtomicU64>,
}

impl EventsServer {
    pub(crate) fn start(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || serve(stream, behaviour, &count));
            }
        });
        Ok(Self { port, arrived })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

/// Serves one connection until it is closed.
fn serve(mut stream: TcpStream, behaviour: Behaviour, arrived: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = match behaviour {
            Behaviour::Never => {
                // Until the other side gives up.
                let _ = reader.read_line(&mut String::new());
                return Ok(());
            }
            Behaviour::Unavailable => "503 Service Unavailable",
            _ => "200 OK",
        };
        std::thread::sleep(behaviour.delay());
        if behaviour != Behaviour::Unavailable {
            let events = body.windows(EVENT.len()).filter(|window| *window == EVENT).count();
            arrived.fetch_add(events as u64, Ordering::Relaxed);
        }
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            SUCCESS.len()
        );
        stream.write_all((head + SUCCESS).as_bytes())?;
    }
}
