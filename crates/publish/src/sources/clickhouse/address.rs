//! Where a server is.

use std::fmt;
use std::str::FromStr;

/// The address of a ClickHouse server, with a database: `https://clickhouse.example.org:8443/otel`.
///
/// ```
/// use tool_telemetry_publish::sources::Address;
///
/// let address: Address = "https://clickhouse.example.org:8443/otel".parse()?;
/// assert_eq!((address.origin.as_str(), address.database.as_str()), ("https://clickhouse.example.org:8443", "otel"));
/// // A password would be seen by everyone on the machine, or on the way.
/// assert!("https://anna:secret@clickhouse.example.org".parse::<Address>().is_err());
/// assert!("http://clickhouse.example.org".parse::<Address>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host, and port.
    pub origin: String,
    /// The database, `default` if the address names none.
    pub database: String,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("write https://HOST:PORT/DATABASE")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err("the user and the password have options of their own".to_owned());
        }
        let database = path.trim_end_matches('/');
        let is_name = database.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if host.is_empty() || !is_name || text.contains(['?', '#']) {
            return Err("write https://HOST:PORT/DATABASE".to_owned());
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err("without TLS only this machine itself is asked: write https".to_owned()),
            _ => return Err("write https://HOST:PORT/DATABASE; ClickHouse is asked over HTTP".to_owned()),
        }
        let database = if database.is_empty() { "default" } else { database };
        Ok(Self { origin: format!("{scheme}://{host}"), database: database.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.database)
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for text in ["http://127.0.0.1:8123/otel", "http://[::1]:8123", "http://localhost", "https://h/otel/"]
        {
            assert!(text.parse::<Address>().is_ok(), "{text}");
        }
        for text in [
            "http://192.0.2.1:8123/otel",
            "http://127.0.0.1.example.org/otel",
            "clickhouse://h/otel",
            "https://h/otel?password=x",
            "https://h/o'tel",
            "https:///otel",
            "h:8443",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert_eq!("https://h:1".parse::<Address>().unwrap().to_string(), "https://h:1/default");
    }
}
