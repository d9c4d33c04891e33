//! A filter for the head of a response, as tolerant as curl's parser.
//!
//! ureq rejects a head with more than 128 headers (20 from a proxy) or with a malformed one, and a response that arrives
//! before the request is written. A server with such a response may have stored the spans, and would get them again and
//! again. Each connection is therefore wrapped, and only the headers that we or ureq use reach ureq.
//!
//! ureq may change its `unversioned` traits at any time. This module uses only parts that have not changed since 3.0.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The largest head that is read, as in curl.
const MAX_HEAD_BYTES: usize = 300 * 1024;

/// The headers that we or ureq use.
const USED_HEADERS: [&[u8]; 9] = [
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"date",
    b"proxy-status",
    b"retry-after",
    b"transfer-encoding",
    b"x-squid-error",
];

/// No value of a used header is longer.
const MAX_VALUE_BYTES: usize = 1024;

/// Wraps every connection of an agent.
#[derive(Debug)]
pub(crate) struct HeadFilter;

impl<In: Transport> Connector<In> for HeadFilter {
    type Out = HeadFilterTransport<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| HeadFilterTransport {
            inner,
            state: HeadState::Idle,
            head: Vec::new(),
            ready: Vec::new(),
            broken: None,
        }))
    }
}

#[derive(Debug)]
pub(crate) struct HeadFilterTransport<In> {
    inner: In,
    state: HeadState,
    /// The part of a head that has arrived.
    head: Vec<u8>,
    /// Bytes that ureq has not received yet.
    ready: Vec<u8>,
    /// Why the rest of the request could not be written.
    broken: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadState {
    /// No request was written, or the head of its response was passed on.
    Idle,
    /// A request was written, and the head of its response is incomplete.
    AwaitsHead,
    /// The bytes are not HTTP, because this is the tunnel of a TLS connection.
    Opaque,
}

impl<In: Transport> HeadFilterTransport<In> {
    /// Takes the bytes that arrived, and passes the head on once it is complete.
    fn take_head(&mut self) -> Result<(), Error> {
        let buffers = self.inner.buffers();
        let length = buffers.input().len();
        self.head.extend_from_slice(buffers.input());
        buffers.input_consume(length);
        loop {
            match scan_head(&self.head) {
                HeadScan::Incomplete if self.head.len() > MAX_HEAD_BYTES => {
                    return Err(Error::LargeResponseHeader(self.head.len(), MAX_HEAD_BYTES));
                }
                HeadScan::Incomplete => return Ok(()),
                HeadScan::NotHttp => {
                    self.state = HeadState::Opaque;
                    self.ready.append(&mut self.head);
                }
                HeadScan::Complete { length, status } => {
                    let rest = self.head.split_off(length);
                    let head = std::mem::replace(&mut self.head, rest);
                    // An interim response such as 100 Continue or 103 Early Hints.
                    if (100..200).contains(&status) && status != 101 {
                        continue;
                    }
                    self.state = HeadState::Idle;
                    self.ready = filter_head(&head, status);
                    self.ready.append(&mut self.head);
                }
            }
            self.pass_on();
            return Ok(());
        }
    }

    /// Fills ureq's buffer.
    fn pass_on(&mut self) {
        let buffers = self.inner.buffers();
        let room = buffers.input_append_buf();
        let length = room.len().min(self.ready.len());
        room[..length].copy_from_slice(&self.ready[..length]);
        buffers.input_appended(length);
        self.ready.drain(..length);
    }
}

impl<In: Transport> Transport for HeadFilterTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.state == HeadState::Idle {
            self.state = HeadState::AwaitsHead;
            // Bytes beyond the announced length of the last response belong to no response.
            self.ready.clear();
            let left = self.inner.buffers().input().len();
            self.inner.buffers().input_consume(left);
        }
        if self.broken.is_some() {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            // The server may have responded before it closed the connection.
            Err(error @ Error::Io(_)) if self.state == HeadState::AwaitsHead => {
                self.broken = Some(error);
                Ok(())
            }
            written => written,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if !self.ready.is_empty() {
            self.pass_on();
            return Ok(true);
        }
        let arrived = self.inner.await_input(timeout);
        if self.state != HeadState::AwaitsHead {
            return arrived;
        }
        match (arrived, self.broken.take()) {
            (Ok(true), broken) => {
                self.broken = broken;
                self.take_head()?;
                Ok(true)
            }
            (Ok(false) | Err(_), Some(error)) => Err(error),
            (arrived, None) => arrived,
        }
    }

    fn is_open(&mut self) -> bool {
        self.broken.is_none() && self.ready.is_empty() && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum HeadScan {
    /// More bytes must arrive.
    Incomplete,
    NotHttp,
    /// A head of `length` bytes, including the empty line.
    Complete {
        length: usize,
        status: u16,
    },
}

fn scan_head(bytes: &[u8]) -> HeadScan {
    const VERSION: &[u8] = b"HTTP/1.";
    let start = &bytes[..bytes.len().min(VERSION.len())];
    if !VERSION.starts_with(start) {
        return HeadScan::NotHttp;
    }
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut length = 0;
    loop {
        match lines.next() {
            Some(line) if line.ends_with(b"\n") => {
                length += line.len();
                if line.trim_ascii().is_empty() {
                    break;
                }
            }
            _ => return HeadScan::Incomplete,
        }
    }
    let status = bytes.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty()).nth(1);
    let status = status.filter(|digits| digits.len() == 3 && digits.iter().all(u8::is_ascii_digit));
    match status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()) {
        Some(status) => HeadScan::Complete { length, status },
        None => HeadScan::NotHttp,
    }
}

/// The status and the used headers, well-formed and without repetitions.
fn filter_head(head: &[u8], status: u16) -> Vec<u8> {
    let version = if head.starts_with(b"HTTP/1.0") { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut filtered = format!("{version} {status} \r\n").into_bytes();
    let mut passed: Vec<(Vec<u8>, &[u8])> = Vec::new();
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        // A folded line continues a header, of which the first line is enough.
        if line.first().is_none_or(|byte| byte.is_ascii_whitespace()) {
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii().to_ascii_lowercase(), line[colon + 1..].trim_ascii());
        let is_used = USED_HEADERS.contains(&&*name)
            && value.len() <= MAX_VALUE_BYTES
            && !value.iter().any(u8::is_ascii_control)
            && !passed.iter().any(|(known, same)| *known == name && *same == value);
        if is_used {
            for part in [&*name, b": ", value, b"\r\n"] {
                filtered.extend_from_slice(part);
            }
            passed.push((name, value));
        }
    }
    filtered.extend_from_slice(b"\r\n");
    filtered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_used_headers_are_passed_on() {
        let head = b"HTTP/1.0 200 Tr\xe8s bien\nX-Any: 1\r\ncontent-TYPE :  application/json \r\n folded\r\nBad\r\n: none\r\n\
            Content-Length: 2\r\nCONTENT-LENGTH: 2\r\nDate: \x01\r\n\r\n{}";
        let HeadScan::Complete { length, status } = scan_head(head) else { panic!("a head") };
        assert_eq!((&head[length..], status), (&b"{}"[..], 200));
        let filtered = String::from_utf8(filter_head(&head[..length], status)).expect("text");
        assert_eq!(filtered, "HTTP/1.0 200 \r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n");
    }

    #[test]
    fn an_incomplete_head_is_told_from_other_bytes() {
        let head = b"HTTP/1.1 204\r\nA: b\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(scan_head(&head[..length]), HeadScan::Incomplete, "{length}");
        }
        assert_eq!(scan_head(head), HeadScan::Complete { length: head.len(), status: 204 });
        for other in [&b"\x16\x03\x03"[..], b"SSH-2.0", b"<html>", b"HTTP/2 200", b"HTTP/1.1 twice\r\n\r\n"] {
            assert_eq!(scan_head(other), HeadScan::NotHttp);
        }
    }
}
