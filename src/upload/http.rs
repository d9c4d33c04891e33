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

use crate::upload::answer::{self, Answer, Batch, FailureKind};
use crate::upload::settings::{Protocol, Settings};
use crate::upload::transport::user_agent;
use crate::upload::{body, proxy, response, sdk_data, tls};

/// After decompression, which does not happen here: compressed answers are not asked for.
const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;

/// So much of the answer to a failed request is read, to keep the connection; what it says is of no interest.
const MAX_FAILURE_BYTES: u64 = 64 * 1024;

/// An exporter, its client and its connection, for one destination.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    exporter: opentelemetry_otlp::SpanExporter,
    client: Arc<Client>,
    /// Name and version of the tool whose resource the exporter has.
    tool: Option<(String, String)>,
}

impl HttpTransport {
    /// Reads certificates and variables; opens no connection. Nothing if a setting cannot be used.
    pub(crate) fn open(
        settings: &Settings,
        max_request_bytes: usize,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let protocol = match settings.protocol {
            Protocol::HttpProtobuf => opentelemetry_otlp::Protocol::HttpBinary,
            #[cfg(feature = "http-json")]
            Protocol::HttpJson => opentelemetry_otlp::Protocol::HttpJson,
            _ => return None,
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
            .ok()?;
        Some(Self { exporter, client, tool: None })
    }

    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> Answer {
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
            .unwrap_or(Answer::Refused { kind: FailureKind::TooLarge })
    }
}

/// One request and what became of it.
#[derive(Debug)]
struct Exchange {
    now: SystemTime,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    /// All headers but those that describe the body and the connection.
    headers: Vec<(HeaderName, HeaderValue)>,
    protocol: Protocol,
    gzip: bool,
    exchange: Mutex<Exchange>,
}

impl Client {
    fn new(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let endpoint: Uri = settings.endpoint.parse().ok()?;
        endpoint.host().filter(|host| !host.is_empty())?;
        let is_https = match endpoint.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return None,
        };
        let proxy = match proxy::for_endpoint(&endpoint, variable) {
            Some(address) => Some(ureq::Proxy::new(&address).ok()?),
            None => None,
        };
        let needs_tls =
            is_https || proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ureq::ProxyProtocol::Https);
        let mut config = ureq::Agent::config_builder()
            .proxy(proxy)
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Seen by a proxy; the server sees the header in `headers`.
            .user_agent(user_agent())
            .accept("")
            .accept_encoding("");
        if needs_tls {
            config = config.tls_config(tls::for_ureq(settings)?);
        }
        Some(Self {
            agent: config.build().into(),
            headers: headers(settings)?,
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
    fn post(&self, endpoint: &Uri, encoded: &[u8]) -> Answer {
        let (content_type, body) = match self.protocol {
            Protocol::HttpJson => ("application/json", body::compact_json(encoded)),
            _ => ("application/x-protobuf", encoded.into()),
        };
        let mut request = ureq::http::Request::post(endpoint).header(header::CONTENT_TYPE, content_type);
        let body = if self.gzip && !body::is_gzip(&body) { body::gzip(&body).into() } else { body };
        if body::is_gzip(&body) {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(&*body) else {
            return answer::retry(FailureKind::Settings);
        };
        match self.agent.run(request) {
            Ok(response) => self.judge(response),
            Err(error) => answer::retry(failure_kind(&error)),
        }
    }

    fn judge(&self, mut response: ureq::http::Response<ureq::Body>) -> Answer {
        let status = response.status().as_u16();
        let text = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let now = self.exchange(|exchange| exchange.now);
        let date = text(header::DATE);
        let after =
            text(header::RETRY_AFTER).and_then(|value| answer::retry_after(&value, date.as_deref(), now));
        let content_type = text(header::CONTENT_TYPE);
        if let Some(answer) = answer::of_http_status(status, after) {
            let _ = response.body_mut().with_config().limit(MAX_FAILURE_BYTES).read_to_vec();
            return answer;
        }
        if content_type.as_deref().is_some_and(|content_type| !response::is_otlp(content_type)) {
            return answer::retry(FailureKind::NotOtlp);
        }
        match response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec() {
            Ok(body) => response::of_success(content_type.as_deref(), &body),
            // No refusal, since a success may have been meant, and no success, since it cannot be read.
            Err(ureq::Error::BodyExceedsLimit(_)) => answer::retry(FailureKind::TooLarge),
            Err(error) => answer::retry(failure_kind(&error)),
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: opentelemetry_http::Request<Bytes>,
    ) -> Result<opentelemetry_http::Response<Bytes>, HttpError> {
        let answer = self.post(request.uri(), request.body());
        let delivered = matches!(answer, Answer::Delivered { .. });
        self.exchange(|exchange| exchange.answer = Some(answer));
        if delivered {
            Ok(opentelemetry_http::Response::new(Bytes::new()))
        } else {
            Err("not delivered".into())
        }
    }
}

/// The headers that the settings give, and ours. Nothing if one of them is no header, or is about the body or the
/// connection, which are not the settings' business.
fn headers(settings: &Settings) -> Option<Vec<(HeaderName, HeaderValue)>> {
    const NOT_YOURS: [HeaderName; 8] = [
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::EXPECT,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut headers = vec![(header::USER_AGENT, HeaderValue::from_str(&user_agent()).ok()?)];
    for (name, value) in &settings.headers {
        let name: HeaderName = name.parse().ok()?;
        if NOT_YOURS.contains(&name) {
            return None;
        }
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
    }
    Some(headers)
}

fn failure_kind(error: &ureq::Error) -> FailureKind {
    match error {
        ureq::Error::Timeout(_) => FailureKind::Timeout,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) | ureq::Error::TlsRequired => {
            FailureKind::Tls
        }
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            FailureKind::Tls
        }
        ureq::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
        {
            FailureKind::Timeout
        }
        // The text is all that is left of the proxy's answer: "proxy server responded 407/407".
        ureq::Error::ConnectProxyFailed(text) => {
            let status = text.split(|character: char| !character.is_ascii_digit());
            FailureKind::Proxy(
                status.filter(|digits| digits.len() == 3).find_map(|digits| digits.parse().ok()),
            )
        }
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => FailureKind::NotOtlp,
        ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => FailureKind::Settings,
        _ => FailureKind::Connection,
    }
}

#[cfg(test)]
mod tests;
