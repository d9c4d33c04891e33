//! Fixture: a server that keeps every byte it gets, and knows only enough HTTP to find the end of a request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::test_user::{TIMEOUT, eventually};

/// Serves one connection after another.
pub(crate) struct RecordingServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl RecordingServer {
    /// Listens on a free port, and answers 200.
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0", "200 OK")
    }

    /// Listens at this address. Another test run may hold it for a moment.
    pub(crate) fn start_at(address: &str, answer: &'static str) -> Self {
        let started = Instant::now();
        let listener = loop {
            match TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(error) => assert!(started.elapsed() < TIMEOUT, "{address}: {error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        let address = listener.local_addr().expect("an address");
        let requests: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bytes = one_request(stream, answer);
                kept.lock().expect("a recording").push(bytes);
            }
        });
        Self { address, requests }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().expect("a recording").clone()
    }

    /// Waits for this many requests.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Vec<u8>> {
        eventually("requests arrive", || self.requests().len() >= count);
        self.requests()
    }
}

/// Reads one request, answers it, and closes the connection.
fn one_request(mut stream: TcpStream, answer: &str) -> Vec<u8> {
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count) = stream.read(&mut part)
        && count > 0
    {
        bytes.extend_from_slice(&part[..count]);
        if is_whole(&bytes) {
            let head = format!(
                "HTTP/1.1 {answer}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            break;
        }
    }
    bytes
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    if text.contains("transfer-encoding: chunked") {
        return bytes.ends_with(b"0\r\n\r\n");
    }
    let length = text.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    bytes.len() - end - 4 >= length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}
