//! The proxy for an endpoint, found by the variables that other programs honour, and the route through it.
//!
//! ureq also reads these variables, but it prefers `ALL_PROXY` to `HTTPS_PROXY`, uses one variable for both schemes, and
//! supports no spaces, ports, networks, or domains without a leading dot in `NO_PROXY`. It opens a tunnel (`CONNECT`)
//! for both schemes, which many proxies allow for port 443 only. Like other programs, we therefore send the request for
//! an `http` endpoint to the proxy itself, with the whole address as its target (RFC 9112, 3.2.2).

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::http::uri::{Parts, Scheme};
use ureq::http::{HeaderName, HeaderValue, Response, Uri, header};
use ureq::{Proxy, ProxyProtocol};

use crate::upload::forward_proxy::ForwardConnector;

/// The kind of proxy between us and the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    None,
    /// The proxy passes encrypted bytes on.
    Tunnel,
    /// The proxy reads the request and sends it itself.
    Forward,
}

/// The route of a request to the endpoint.
pub(crate) struct Route {
    /// The address that the client connects to.
    pub(crate) target: Uri,
    pub(crate) tunnel: Option<Proxy>,
    pub(crate) forward: Option<ForwardConnector>,
    /// Additional headers.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) proxy_kind: ProxyKind,
}

/// The variable does not hold the address of a proxy.
#[derive(Debug)]
pub(crate) struct InvalidProxyAddress;

impl Route {
    /// Whether the connection to the endpoint or to the proxy uses TLS.
    pub(crate) fn needs_tls(&self) -> bool {
        self.target.scheme() == Some(&Scheme::HTTPS)
            || self.tunnel.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https)
    }
}

pub(crate) fn route(
    endpoint: Uri,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Route, InvalidProxyAddress> {
    let Some(address) = for_endpoint(&endpoint, variable) else {
        let headers = Vec::new();
        return Ok(Route {
            target: endpoint,
            tunnel: None,
            forward: None,
            headers,
            proxy_kind: ProxyKind::None,
        });
    };
    let proxy = Proxy::new(&address).map_err(|_| InvalidProxyAddress)?;
    let is_http = matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    if is_http && endpoint.scheme() == Some(&Scheme::HTTP) {
        return forwarded(&endpoint, &proxy).ok_or(InvalidProxyAddress);
    }
    let (tunnel, headers) = (Some(proxy), Vec::new());
    Ok(Route { target: endpoint, tunnel, forward: None, headers, proxy_kind: ProxyKind::Tunnel })
}

/// The route of a request that the proxy forwards.
fn forwarded(endpoint: &Uri, proxy: &Proxy) -> Option<Route> {
    let mut parts = Parts::default();
    parts.scheme = Some(match proxy.protocol() {
        ProxyProtocol::Https => Scheme::HTTPS,
        _ => Scheme::HTTP,
    });
    parts.authority = Some(format!("{}:{}", proxy.host(), proxy.port()).parse().ok()?);
    parts.path_and_query = endpoint.path_and_query().cloned();
    let mut headers = vec![(header::HOST, HeaderValue::from_str(endpoint.authority()?.as_str()).ok()?)];
    if proxy.username().is_some() || proxy.password().is_some() {
        let (user, password) = (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        headers.push((header::PROXY_AUTHORIZATION, value));
    }
    let target = Uri::from_parts(parts).ok()?;
    let forward = Some(ForwardConnector::new(endpoint.path_and_query()?.as_str(), &endpoint.to_string()));
    Some(Route { target, tunnel: None, forward, headers, proxy_kind: ProxyKind::Forward })
}

/// Whether a response comes from the forwarding proxy and not from the receiver behind it.
///
/// Only proxies send 407. With any other failure a proxy sends an HTML page, which no OTLP receiver does, or a header
/// that identifies it (RFC 9209; Squid). In doubt the response is the proxy's, because then no run is dropped.
pub(crate) fn is_proxy_response<T>(response: &Response<T>) -> bool {
    let status = response.status();
    // The request is too large for one of them, so smaller ones may get through.
    if !(status.is_client_error() || status.is_server_error()) || status.as_u16() == 413 {
        return false;
    }
    let headers = response.headers();
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
    status.as_u16() == 407
        || is_page
        || ["proxy-status", "x-squid-error"].iter().any(|name| headers.contains_key(*name))
}

/// The status in ureq's message about a refused tunnel, "proxy server responded 407/407". ureq keeps nothing else of
/// the proxy's response.
pub(crate) fn status_in(reason: &str) -> Option<u16> {
    reason.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 3)?.parse().ok()
}

/// The address of the proxy that the environment names for this endpoint.
///
/// The variable for the endpoint's scheme is preferred to `ALL_PROXY`, and lower case to upper case. An empty variable
/// is unset. `HTTP_PROXY` in upper case is ignored in a CGI program, where it is a header from the client
/// (CVE-2016-5385). A loopback address is never reached through a proxy.
pub(crate) fn for_endpoint(endpoint: &Uri, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let set =
        |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let either = |lower: &str| set(lower).or_else(|| set(&lower.to_ascii_uppercase()));

    let host = bare(endpoint.host()?);
    let is_https = endpoint.scheme_str() == Some("https");
    let port = endpoint.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    if is_loopback(host) {
        return None;
    }
    let proxy = if is_https {
        either("https_proxy")
    } else if set("REQUEST_METHOD").is_some() {
        set("http_proxy")
    } else {
        either("http_proxy")
    };
    let proxy = proxy.or_else(|| either("all_proxy"))?;
    let exempt = either("no_proxy").is_some_and(|list| {
        list.split([',', ' ', '\t']).any(|entry| !entry.is_empty() && exempts(entry, host, port))
    });
    (!exempt).then_some(proxy)
}

/// A host without the brackets of an IPv6 literal.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether an entry of `no_proxy` matches the host. An entry is `*`, an address, a network, or a domain with its
/// subdomains; all but `*` may have a port.
fn exempts(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(exempt) = address_exempts(entry, host) {
        return exempt;
    }
    let (entry, entry_port) = match entry.rsplit_once(':') {
        Some((entry, digits)) => match digits.parse() {
            Ok(port) => (entry, Some(port)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    if entry_port.is_some_and(|entry_port: u16| entry_port != port) {
        return false;
    }
    if let Some(exempt) = address_exempts(bare(entry), host) {
        return exempt;
    }
    let domain =
        entry.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !domain.is_empty()
        && host.strip_suffix(domain.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Returns nothing if the entry is neither an address nor a network.
fn address_exempts(entry: &str, host: &str) -> Option<bool> {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, Some(length.parse::<u32>().ok()?)),
        None => (bare(entry), None),
    };
    let network = network.parse::<IpAddr>().ok()?;
    let Ok(address) = host.parse::<IpAddr>() else {
        return Some(false);
    };
    Some(match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same_bits(network.to_bits().into(), address.to_bits().into(), 32, length)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            same_bits(network.to_bits(), address.to_bits(), 128, length)
        }
        _ => false,
    })
}

fn same_bits(network: u128, address: u128, width: u32, length: Option<u32>) -> bool {
    let ignored = width.saturating_sub(length.unwrap_or(width));
    (network ^ address).checked_shr(ignored).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(endpoint: &str, variables: &[(&str, &str)]) -> Option<String> {
        for_endpoint(&endpoint.parse().expect("an address"), &|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_variable_of_the_scheme_is_preferred() {
        let all = [
            ("http_proxy", "http://plain:1"),
            ("HTTPS_PROXY", "http://secure:2"),
            ("ALL_PROXY", "socks5://any:3"),
        ];
        let is = |endpoint, variables: &[_], wanted: &str| {
            assert_eq!(proxy(endpoint, variables).as_deref().unwrap_or_default(), wanted);
        };
        is("http://a.example/v1/traces", &all, "http://plain:1");
        is("https://a.example/v1/traces", &all, "http://secure:2");
        is("https://a.example/", &all[..1], "");
        is("https://a.example/", &[all[0], all[2]], "socks5://any:3");
        is("https://a.example/", &[("https_proxy", "lower:1"), ("HTTPS_PROXY", "upper:2")], "lower:1");
        is("https://a.example/", &[("https_proxy", ""), ("HTTPS_PROXY", "upper:2")], "upper:2");
        is("http://a.example/", &[("HTTP_PROXY", "upper:2")], "upper:2");
        is("http://a.example/", &[("HTTP_PROXY", "evil:2"), ("REQUEST_METHOD", "GET")], "");
    }

    #[test]
    fn loopback_is_never_reached_through_a_proxy() {
        for host in ["localhost:4318", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9:80", "[::1]:4318"]
        {
            assert_eq!(proxy(&format!("http://{host}/v1/traces"), &[("all_proxy", "p:1")]), None, "{host}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_domains_ports_and_networks() {
        let exempt = |endpoint: &str, list: &str| {
            proxy(endpoint, &[("all_proxy", "http://p:1"), ("NO_PROXY", list)]).is_none()
        };
        for list in [
            "*",
            "otel.example.com",
            "example.com",
            ".example.com",
            "*.example.com",
            "EXAMPLE.com",
            "a.b, example.com",
            "a.b example.com",
            "example.com:4318",
            "example.com.",
        ] {
            assert!(exempt("http://otel.example.com:4318/v1/traces", list), "{list}");
        }
        for list in
            ["", "ample.com", "otel.example", "com:80", "other.example.com", "10.0.0.0/8", "example.com:x"]
        {
            assert!(!exempt("http://otel.example.com:4318/v1/traces", list), "{list}");
        }
        for list in ["10.1.2.3", "10.0.0.0/8", "10.1.2.3:443", "0.0.0.0/0", "10.1.2.3/32"] {
            assert!(exempt("https://10.1.2.3/v1/traces", list), "{list}");
        }
        for list in ["10.1.2.4", "10.1.3.0/24", "10.1.2.3:80", "::/0", "10.0.0.0/99x"] {
            assert!(!exempt("https://10.1.2.3/v1/traces", list), "{list}");
        }
        for list in ["fd00::1", "[fd00::1]", "fd00::/16", "[fd00::1]:443", "::/0"] {
            assert!(exempt("https://[fd00::1]/v1/traces", list), "{list}");
        }
        for list in ["fd00::2", "[fd00::1]:80", "fe80::/10", "0.0.0.0/0"] {
            assert!(!exempt("https://[fd00::1]/v1/traces", list), "{list}");
        }
    }
}
