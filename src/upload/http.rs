//! OTLP over HTTP: the `SpanExporter` of `opentelemetry-otlp` on our own HTTP client.
//!
//! The exporter groups the spans, checks the size, encodes the request, and hands its body to our client. It returns Ok or a
//! text, and drops the status, `Retry-After`, and the number of rejected spans. The client therefore leaves the outcome in
//! [`Exchange`], and [`HttpTransport::send`] takes it from there. This is the only place that works around the exporter.
//!
//! The client is synchronous, because a process that sends one request after the other gains nothing from a runtime.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::SpanExporter as _;
use ureq::http::{HeaderName, HeaderValue, Uri, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};

use crate::upload::delivery::{self, Batch, DeliveryOutcome};
use crate::upload::failure::{FailureKind, Setting, SettingError, TlsFailure};
use crate::upload::otlp_settings::{OtlpSettings, Protocol};
use crate::upload::proxy::ProxyKind;
use crate::upload::sdk_data::ExportRequest;
use crate::upload::{proxy, tls, user_agent};

/// Applies before and after decompression. We request no compression.
const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;

/// The body of a failed response is read up to this size, only to keep the connection.
const MAX_FAILURE_BYTES: u64 = 64 * 1024;

mod body;
mod response_body;
mod response_head;

/// An exporter with its client and its connection, for one destination.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    exporter: opentelemetry_otlp::SpanExporter,
    client: Arc<Client>,
}

impl HttpTransport {
    /// Reads certificates and variables; opens no connection.
    pub(crate) fn open(
        settings: &OtlpSettings,
        max_request_bytes: usize,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, FailureKind> {
        let protocol = match settings.protocol {
            Protocol::HttpProtobuf => opentelemetry_otlp::Protocol::HttpBinary,
            #[cfg(feature = "http-json")]
            Protocol::HttpJson => opentelemetry_otlp::Protocol::HttpJson,
            _ => return Err(FailureKind::Settings(Setting::Protocol, SettingError::NotBuilt)),
        };
        let client = Arc::new(Client::new(settings, variable)?);
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&client) as Arc<dyn HttpClient>)
            .with_protocol(protocol)
            .with_endpoint(&settings.endpoint)
            .with_timeout(settings.timeout)
            // The client compresses, after it has compacted JSON.
            .with_retry_policy(RetryPolicy::disabled())
            .with_max_request_body_size(max_request_bytes)
            .build()
            .map_err(|_| FailureKind::Settings(Setting::Endpoint, SettingError::NotAnAddress))?;
        Ok(Self { exporter, client })
    }

    /// Whether requests go through no proxy.
    pub(crate) fn is_direct(&self) -> bool {
        self.client.proxy_kind == ProxyKind::None
    }

    /// The receiver's clock at its last answer.
    pub(crate) fn receiver_time(&self) -> Option<SystemTime> {
        self.client.exchange(|exchange| exchange.receiver_time)
    }

    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> DeliveryOutcome {
        let request = ExportRequest::new(batch);
        self.exporter.set_resource(&request.resource);
        self.client.exchange(|exchange| *exchange = Exchange { now, outcome: None, receiver_time: None });
        // The future is ready at once, because the client blocks.
        let _ = futures_executor::block_on(self.exporter.export(request.spans));
        // The exporter calls the client unless the request is too large.
        self.client
            .exchange(|exchange| exchange.outcome.take())
            .unwrap_or(DeliveryOutcome::Refused { kind: FailureKind::TooLarge })
    }
}

/// The time of a request, and what its response said.
#[derive(Debug)]
struct Exchange {
    now: SystemTime,
    outcome: Option<DeliveryOutcome>,
    receiver_time: Option<SystemTime>,
}

#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    /// The address that the client connects to: the endpoint, or a forwarding proxy.
    target: Uri,
    proxy_kind: ProxyKind,
    /// All headers except those about the body and the connection.
    headers: Vec<(HeaderName, HeaderValue)>,
    protocol: Protocol,
    gzip: bool,
    exchange: Mutex<Exchange>,
}

impl Client {
    fn new(settings: &OtlpSettings, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, FailureKind> {
        let no_address = FailureKind::Settings(Setting::Endpoint, SettingError::NotAnAddress);
        let endpoint: Uri = settings.endpoint.parse().map_err(|_| no_address)?;
        endpoint.host().filter(|host| !host.is_empty()).ok_or(no_address)?;
        if !matches!(endpoint.scheme_str(), Some("https" | "http")) {
            return Err(no_address);
        }
        let route = proxy::route(endpoint, variable).map_err(|proxy::InvalidProxyAddress| {
            FailureKind::Settings(Setting::Proxy, SettingError::NotAnAddress)
        })?;
        let needs_tls = route.needs_tls();
        let mut config = ureq::Agent::config_builder()
            .proxy(route.tunnel)
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // For the proxy. The server gets the one in `headers`.
            .user_agent(user_agent::with_exporter())
            .accept("")
            // Without it, a server may use any compression (RFC 9110, 12.5.3).
            .accept_encoding("identity");
        if needs_tls {
            config = config.tls_config(tls::for_ureq(settings)?);
        }
        let mut headers = headers(settings)?;
        for (name, value) in route.headers {
            if headers.iter().all(|(set, _)| *set != name) {
                headers.push((name, value));
            }
        }
        let agent = match route.forward {
            None => ureq::Agent::with_parts(
                config.build(),
                DefaultConnector::default().chain(response_head::HeadFilter),
                DefaultResolver::default(),
            ),
            Some(connector) => ureq::Agent::with_parts(
                config.build(),
                connector.chain(response_head::HeadFilter),
                DefaultResolver::default(),
            ),
        };
        Ok(Self {
            agent,
            target: route.target,
            proxy_kind: route.proxy_kind,
            headers,
            protocol: settings.protocol,
            gzip: settings.gzip,
            exchange: Mutex::new(Exchange {
                now: SystemTime::UNIX_EPOCH,
                outcome: None,
                receiver_time: None,
            }),
        })
    }

    fn exchange<T>(&self, with: impl FnOnce(&mut Exchange) -> T) -> T {
        with(&mut self.exchange.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the exporter's body, but not its headers, which include those of the environment and so another program's
    /// credentials.
    fn post(&self, encoded: &[u8]) -> DeliveryOutcome {
        let (content_type, body) = match self.protocol {
            Protocol::HttpJson => ("application/json", body::compact_json(encoded)),
            _ => ("application/x-protobuf", encoded.into()),
        };
        let mut request = ureq::http::Request::post(&self.target).header(header::CONTENT_TYPE, content_type);
        let body = if self.gzip && !body::is_gzip(&body) { body::gzip(&body).into() } else { body };
        if body::is_gzip(&body) {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(&*body) else {
            return DeliveryOutcome::retry(FailureKind::Settings(
                Setting::Endpoint,
                SettingError::NotAnAddress,
            ));
        };
        match self.agent.run(request) {
            Ok(response) => self.outcome(response),
            Err(error) => DeliveryOutcome::retry(self.failure_kind(&error)),
        }
    }

    fn outcome(&self, mut response: ureq::http::Response<ureq::Body>) -> DeliveryOutcome {
        let status = response.status().as_u16();
        let text = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let now = self.exchange(|exchange| exchange.now);
        let date = text(header::DATE);
        let receiver_time = date.as_deref().and_then(delivery::parse_date);
        self.exchange(|exchange| exchange.receiver_time = receiver_time);
        let after = text(header::RETRY_AFTER)
            .and_then(|value| delivery::parse_retry_after(&value, date.as_deref(), now));
        let content_type = text(header::CONTENT_TYPE);
        if self.proxy_kind == ProxyKind::Forward && proxy::is_proxy_response(&response) {
            let _ = response.body_mut().with_config().limit(MAX_FAILURE_BYTES).read_to_vec();
            return DeliveryOutcome::Retry { after, kind: FailureKind::Proxy(Some(status)) };
        }
        if let Some(outcome) = DeliveryOutcome::from_http_status(status, after) {
            let _ = response.body_mut().with_config().limit(MAX_FAILURE_BYTES).read_to_vec();
            return outcome;
        }
        if content_type.as_deref().is_some_and(|content_type| !response_body::is_otlp(content_type)) {
            return DeliveryOutcome::retry(FailureKind::NotOtlp);
        }
        match response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec() {
            Ok(body) => match body::uncompressed(&body, MAX_RESPONSE_BYTES) {
                Some(body) => response_body::outcome(content_type.as_deref(), &body),
                None => DeliveryOutcome::retry(FailureKind::NotOtlp),
            },
            // Neither a refusal nor a success, because the status is a success but the body cannot be read.
            Err(ureq::Error::BodyExceedsLimit(_)) => DeliveryOutcome::retry(FailureKind::TooLarge),
            Err(error) => DeliveryOutcome::retry(self.failure_kind(&error)),
        }
    }

    fn failure_kind(&self, error: &ureq::Error) -> FailureKind {
        match (failure_kind(error), self.proxy_kind) {
            (FailureKind::Connection, ProxyKind::Tunnel | ProxyKind::Forward) => FailureKind::Proxy(None),
            (kind, _) => kind,
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: opentelemetry_http::Request<Bytes>,
    ) -> Result<opentelemetry_http::Response<Bytes>, HttpError> {
        let outcome = self.post(request.body());
        let delivered = matches!(outcome, DeliveryOutcome::Delivered { .. });
        self.exchange(|exchange| exchange.outcome = Some(outcome));
        if delivered {
            Ok(opentelemetry_http::Response::new(Bytes::new()))
        } else {
            Err("not delivered".into())
        }
    }
}

/// Our headers and those of the settings.
fn headers(settings: &OtlpSettings) -> Result<Vec<(HeaderName, HeaderValue)>, FailureKind> {
    let headers_error = |error| FailureKind::Settings(Setting::Headers, error);
    let bad_value = headers_error(SettingError::BadValue);
    let mut headers = vec![(
        header::USER_AGENT,
        HeaderValue::from_str(&user_agent::with_exporter()).map_err(|_| bad_value)?,
    )];
    for (name, value) in &settings.headers {
        let name: HeaderName = name.parse().map_err(|_| headers_error(SettingError::BadName))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad_value)?;
        value.set_sensitive(true);
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
    }
    Ok(headers)
}

fn failure_kind(error: &ureq::Error) -> FailureKind {
    match error {
        ureq::Error::Timeout(_) => FailureKind::Timeout,
        ureq::Error::Rustls(error) => FailureKind::Tls(tls::failure(error)),
        ureq::Error::Tls(_) | ureq::Error::Pem(_) | ureq::Error::TlsRequired => {
            FailureKind::Tls(TlsFailure::Other)
        }
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            FailureKind::Tls(inner.map_or(TlsFailure::Other, tls::failure))
        }
        ureq::Error::ConnectProxyFailed(reason) => FailureKind::Proxy(proxy::status_in(reason)),
        ureq::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
        {
            FailureKind::Timeout
        }
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => FailureKind::NotOtlp,
        ureq::Error::InvalidProxyUrl => FailureKind::Settings(Setting::Proxy, SettingError::NotAnAddress),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            FailureKind::Settings(Setting::Endpoint, SettingError::NotAnAddress)
        }
        _ => FailureKind::Connection,
    }
}

#[cfg(test)]
mod proxy_tests;
#[cfg(test)]
mod tests;
