//! The address of an endpoint.

/// An address, parsed as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The address to use, with its path.
    pub(crate) address: String,
    pub(crate) is_https: bool,
    /// Lower case; an IPv6 address has no brackets.
    host: String,
    port: u16,
}

impl Endpoint {
    /// Parses `http://host[:port][/path]` or its https form. A gRPC address may have no scheme, and then `insecure`
    /// chooses it.
    ///
    /// # Errors
    ///
    /// The end of a sentence that begins with the name of the setting.
    pub(crate) fn parse(address: &str, is_grpc: bool, is_insecure: bool) -> Result<Self, &'static str> {
        const NO_ADDRESS: &str = "is not an http or https address";

        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None if is_grpc => ((if is_insecure { "http" } else { "https" }).to_owned(), address),
            None => return Err(NO_ADDRESS),
        };
        let is_https = match scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(NO_ADDRESS),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = Self::split_port(host_and_port).ok_or(NO_ADDRESS)?;
        // The limits of RFC 1035, section 2.3.4. A final dot does not count.
        let name = host.strip_suffix('.').unwrap_or(host);
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return Err("names a host that is longer than 253 characters, or 63 between dots");
        }
        let port = match port {
            None | Some("") if is_https => 443,
            None | Some("") => 80,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(NO_ADDRESS)?,
        };
        let tail = if tail.starts_with('/') || is_grpc { tail.to_owned() } else { format!("/{tail}") };
        Ok(Self {
            address: format!("{scheme}://{authority}{tail}"),
            is_https,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// The host, without the brackets of an IPv6 address, and the port.
    fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
        if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            return Some((host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) }));
        }
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_name = !host.is_empty()
            && !host.starts_with('.')
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        is_name.then_some((host, port))
    }

    /// The host and port of a TLS connection.
    #[cfg(any(feature = "http", feature = "grpc"))]
    pub(crate) fn https_host_and_port(&self) -> Option<(String, u16)> {
        self.is_https.then(|| (self.host.clone(), self.port))
    }

    /// Adds a path before the query.
    pub(super) fn add_path(&mut self, path: &str) {
        let end = self.address.find(['?', '#']).unwrap_or(self.address.len());
        let slash = if self.address[..end].ends_with('/') { "" } else { "/" };
        self.address.insert_str(end, &format!("{slash}{path}"));
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The origin as a user reads it. The scheme's default port is left out.
    pub(super) fn origin(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let is_default = self.port == if self.is_https { 443 } else { 80 };
        let port = if is_default { String::new() } else { format!(":{}", self.port) };
        format!("{}://{host}{port}", self.scheme())
    }

    /// The origin in the name of a directory. The colons of an IPv6 address become `~`, which no host name has.
    pub(super) fn directory_name(&self) -> String {
        format!("{}-{}-{}", self.scheme(), self.host.replace(':', "~"), self.port)
    }

    fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}
