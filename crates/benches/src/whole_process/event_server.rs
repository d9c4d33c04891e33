//! A server for libraries with protocols of their own. It counts the events in each POST request.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::behaviour::Behaviour;

/// Each event contains this once.
const EVENT: &[u8] = b"\"bench-event\"";
/// `telemetry-kit` needs this answer; `rtb-telemetry` ignores it.
const SUCCESS: &str = r#"{"status":"success","accepted":5,"rejected":0,"message":""}"#;

/// Listens until this program ends.
#[derive(Debug)]
pub(crate) struct EventServer {
    port: u16,
    arrived: Arc<AtomicU64>,
}

impl EventServer {
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

/// Serves a connection until the client closes it.
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
            Behaviour::Silent => {
                // Waits until the client gives up.
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
