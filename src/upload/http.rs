//! OTLP over HTTP: the `SpanExporter` of `opentelemetry-otlp` on an HTTP client of our own.
//!
//! The exporter groups and encodes. Its result is only Ok or an error's text, so the client beneath it judges the
//! answer and leaves it beside. The client is synchronous: in a process that sends one request after the other, a
//! runtime would only add to the size.

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
use crate::upload::failure::{FailureKind, Setting, SettingFault, TlsFailure};
use crate::upload::otlp_settings::{OtlpSettings, Protocol};
use crate::upload::proxy::Proxied;
use crate::upload::transport::user_agent;
use crate::upload::{proxy, sdk_data, tls};

/// Before and after decompression, which is not asked for.
const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;

/// So much of the answer to a failed request is read, to keep the connection; what it says is of no interest.
const MAX_FAILURE_BYTES: u64 = 64 * 1024;

mod body;
mod response_body;
mod response_head;

/// An exporter, its client and its connection, for one destination.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    exporter: opentelemetry_otlp::SpanExporter,
    client: Arc<Client>,
    /// Name and version of the tool whose resource the exporter has.
    tool: Option<(String, String)>,
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
            _ => return Err(FailureKind::Settings(Setting::Protocol, SettingFault::NotBuilt)),
        };
        let client = Arc::new(Client::new(settings, variable)?);
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&client) as Arc<dyn HttpClient>)
            .with_protocol(protocol)
            .with_endpoint(&settings.endpoint)
            .with_timeout(settings.timeout)
            // The client compresses, so that it can first bring JSON into shape.
            .with_retry_policy(RetryPolicy::disabled())
            .with_max_request_body_size(max_request_bytes)
            .build()
            .map_err(|_| FailureKind::Settings(Setting::Endpoint, SettingFault::NotAnAddress))?;
        Ok(Self { exporter, client, tool: None })
    }

    /// Whether no proxy stands between.
    pub(crate) fn is_direct(&self) -> bool {
        self.client.proxied == Proxied::No
    }

    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> DeliveryOutcome {
        let tool = (batch.tool.name.to_owned(), batch.tool.version.to_owned());
        if self.tool.as_ref() != Some(&tool) {
            self.exporter.set_resource(&sdk_data::resource(batch.tool));
            self.tool = Some(tool);
        }
        self.client.exchange(|exchange| *exchange = Exchange { now, answer: None });
        // Nothing in it waits: the client below is done when it returns.
        let _ = futures_executor::block_on(self.exporter.export(sdk_data::spans(batch)));
        // An exporter that did not come to the client found the request too large: it has no other reason.
        self.client
            .exchange(|exchange| exchange.answer.take())
            .unwrap_or(DeliveryOutcome::Refused { kind: FailureKind::TooLarge })
    }
}

/// One request and what became of it.
#[derive(Debug)]
struct Exchange {
    now: SystemTime,
    answer: Option<DeliveryOutcome>,
}

#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    /// What requests are made to: the endpoint, or by way of a proxy.
    target: Uri,
    proxied: Proxied,
    /// All headers but those that describe the body and the connection.
    headers: Vec<(HeaderName, HeaderValue)>,
    protocol: Protocol,
    gzip: bool,
    exchange: Mutex<Exchange>,
}

impl Client {
    fn new(settings: &OtlpSettings, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, FailureKind> {
        let no_address = FailureKind::Settings(Setting::Endpoint, SettingFault::NotAnAddress);
        let endpoint: Uri = settings.endpoint.parse().map_err(|_| no_address)?;
        endpoint.host().filter(|host| !host.is_empty()).ok_or(no_address)?;
        if !matches!(endpoint.scheme_str(), Some("https" | "http")) {
            return Err(no_address);
        }
        let route = proxy::route(endpoint, variable).map_err(|proxy::InvalidProxyAddress| {
            FailureKind::Settings(Setting::Proxy, SettingFault::NotAnAddress)
        })?;
        let needs_tls = route.needs_tls();
        let mut config = ureq::Agent::config_builder()
            .proxy(route.tunnel)
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // HeadScan by a proxy; the server sees the header in `headers`.
            .user_agent(user_agent())
            .accept("")
            // Without it a server may compress its answer as it likes (RFC 9110, 12.5.3).
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
            proxied: route.proxied,
            headers,
            protocol: settings.protocol,
            gzip: settings.gzip,
            exchange: Mutex::new(Exchange { now: SystemTime::UNIX_EPOCH, answer: None }),
        })
    }

    fn exchange<T>(&self, with: impl FnOnce(&mut Exchange) -> T) -> T {
        with(&mut self.exchange.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the body, and nothing else of what the exporter made: it adds headers of the environment, which are
    /// somebody else's credentials.
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
                SettingFault::NotAnAddress,
            ));
        };
        match self.agent.run(request) {
            Ok(response) => self.judge(response),
            Err(error) => DeliveryOutcome::retry(self.failure_kind(&error)),
        }
    }

    fn judge(&self, mut response: ureq::http::Response<ureq::Body>) -> DeliveryOutcome {
        let status = response.status().as_u16();
        let text = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let now = self.exchange(|exchange| exchange.now);
        let date = text(header::DATE);
        let after = text(header::RETRY_AFTER)
            .and_then(|value| delivery::parse_retry_after(&value, date.as_deref(), now));
        let content_type = text(header::CONTENT_TYPE);
        if self.proxied == Proxied::Forwarded && proxy::has_answered(&response) {
            let _ = response.body_mut().with_config().limit(MAX_FAILURE_BYTES).read_to_vec();
            return DeliveryOutcome::Retry { after, kind: FailureKind::Proxy(Some(status)) };
        }
        if let Some(answer) = DeliveryOutcome::from_http_status(status, after) {
            let _ = response.body_mut().with_config().limit(MAX_FAILURE_BYTES).read_to_vec();
            return answer;
        }
        if content_type.as_deref().is_some_and(|content_type| !response_body::is_otlp(content_type)) {
            return DeliveryOutcome::retry(FailureKind::NotOtlp);
        }
        match response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec() {
            Ok(body) => match body::unpacked(&body, MAX_RESPONSE_BYTES) {
                Some(body) => response_body::of_success(content_type.as_deref(), &body),
                None => DeliveryOutcome::retry(FailureKind::NotOtlp),
            },
            // No refusal, since a success may have been meant, and no success, since it cannot be read.
            Err(ureq::Error::BodyExceedsLimit(_)) => DeliveryOutcome::retry(FailureKind::TooLarge),
            Err(error) => DeliveryOutcome::retry(self.failure_kind(&error)),
        }
    }

    fn failure_kind(&self, error: &ureq::Error) -> FailureKind {
        match (failure_kind(error), self.proxied) {
            (FailureKind::Connection, Proxied::Tunnel | Proxied::Forwarded) => FailureKind::Proxy(None),
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
        let answer = self.post(request.body());
        let delivered = matches!(answer, DeliveryOutcome::Delivered { .. });
        self.exchange(|exchange| exchange.answer = Some(answer));
        if delivered {
            Ok(opentelemetry_http::Response::new(Bytes::new()))
        } else {
            Err("not delivered".into())
        }
    }
}

/// The headers that the settings give, and ours.
fn headers(settings: &OtlpSettings) -> Result<Vec<(HeaderName, HeaderValue)>, FailureKind> {
    let fault = |fault| FailureKind::Settings(Setting::Headers, fault);
    let bad_value = fault(SettingFault::BadValue);
    let mut headers =
        vec![(header::USER_AGENT, HeaderValue::from_str(&user_agent()).map_err(|_| bad_value)?)];
    for (name, value) in &settings.headers {
        let name: HeaderName = name.parse().map_err(|_| fault(SettingFault::BadName))?;
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
        ureq::Error::InvalidProxyUrl => FailureKind::Settings(Setting::Proxy, SettingFault::NotAnAddress),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            FailureKind::Settings(Setting::Endpoint, SettingFault::NotAnAddress)
        }
        _ => FailureKind::Connection,
    }
}

#[cfg(test)]
mod tests;
