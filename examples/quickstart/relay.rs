//! A proxy between the tool and the receiver that keeps every byte that the tool sends.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::Failure;

pub(crate) struct Relay {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    /// `receiver` is `http://HOST:PORT`. The relay runs until this program ends.
    pub(crate) fn start(receiver: &str) -> Result<Self, Failure> {
        let start = || -> io::Result<Self> {
            let receiver = receiver.trim_start_matches("http://").to_owned();
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            let sent = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&sent);
            thread::spawn(move || {
                for tool in listener.incoming().flatten() {
                    let _ = connect(tool, &receiver, &kept);
                }
            });
            Ok(Self { address, sent })
        };
        start().map_err(|error| format!("the relay cannot listen on a port: {error}"))
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All bytes that the tool has sent so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn connect(tool: TcpStream, receiver: &str, sent: &Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    let receiver = TcpStream::connect(receiver)?;
    let (tool_again, receiver_again) = (tool.try_clone()?, receiver.try_clone()?);
    let sent = Arc::clone(sent);
    thread::spawn(move || {
        forward(tool, receiver, |bytes| {
            sent.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        })
    });
    thread::spawn(move || forward(receiver_again, tool_again, |_| ()));
    Ok(())
}

fn forward(mut from: TcpStream, mut to: TcpStream, mut inspect: impl FnMut(&[u8])) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        inspect(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
