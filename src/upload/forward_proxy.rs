//! Requests through a forwarding proxy. Their request line names the whole address (RFC 9112, 3.2.2), while ureq
//! writes only the path and knows only tunnels.

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};

/// Connects to the proxy as ureq connects to any server.
#[derive(Debug)]
pub(crate) struct ForwardConnector {
    connector: DefaultConnector,
    line: RequestLine,
}

/// The request line that ureq writes, and the one for the proxy.
#[derive(Debug, Clone)]
struct RequestLine {
    with_path: Vec<u8>,
    with_address: Vec<u8>,
}

impl ForwardConnector {
    pub(crate) fn new(path: &str, address: &str) -> Self {
        let line = |target: &str| format!("POST {target} HTTP/1.1\r\n").into_bytes();
        let line = RequestLine { with_path: line(path), with_address: line(address) };
        Self { connector: DefaultConnector::default(), line }
    }
}

impl Connector for ForwardConnector {
    type Out = ForwardTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let transport = self.connector.connect(details, chained)?;
        Ok(transport.map(|transport| ForwardTransport { transport, line: self.line.clone() }))
    }
}

#[derive(Debug)]
pub(crate) struct ForwardTransport {
    transport: Box<dyn Transport>,
    line: RequestLine,
}

impl ForwardTransport {
    /// Replaces the request line in the output and returns the new length of the output. No part of a body begins like
    /// a request line, because it is protobuf, JSON, or gzip.
    fn rewrite(&mut self, amount: usize) -> Result<usize, ureq::Error> {
        let RequestLine { with_path, with_address } = &self.line;
        let output = self.transport.buffers().output();
        if !output[..amount].starts_with(with_path) {
            return Ok(amount);
        }
        let length = amount - with_path.len() + with_address.len();
        if length > output.len() {
            return Err(ureq::Error::ConnectProxyFailed("the request's head is too long".to_owned()));
        }
        output.copy_within(with_path.len()..amount, with_address.len());
        output[..with_address.len()].copy_from_slice(with_address);
        Ok(length)
    }
}

impl Transport for ForwardTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let amount = self.rewrite(amount)?;
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}
