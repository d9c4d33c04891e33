//! A request, its outcome, and the trait between the uploader and a transport. Nothing here performs I/O.

use std::time::{Duration, SystemTime};

use crate::model::cell::CountSpan;
use crate::model::data_points::DataPoints;
use crate::model::span::{Span, Tool};
pub(crate) use crate::upload::failure::FailureKind;

/// The content of one request.
#[derive(Debug, Clone)]
pub(crate) enum Batch<'a> {
    Runs(RunBatch<'a>),
    /// One count. It never shares a request with a run, or with another count.
    Count(CountBatch<'a>),
}

/// The spans of some runs with the same resource.
#[derive(Debug, Clone)]
pub(crate) struct RunBatch<'a> {
    pub(crate) data_points: &'static DataPoints,
    pub(crate) tool: Tool<'a>,
    pub(crate) spans: &'a [Span],
}

/// A count, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct CountBatch<'a> {
    pub(crate) data_points: &'static DataPoints,
    pub(crate) tool: &'a str,
    pub(crate) count: &'a CountSpan,
}

/// Sends batches to one destination.
pub(crate) trait Transport {
    /// Returns within a bounded time.
    fn deliver(&mut self, batch: &Batch<'_>) -> DeliveryOutcome;

    /// Makes the next request use a connection of its own.
    fn disconnect(&mut self) {}

    /// The receiver's clock at its last answer, if the answer told it (RFC 9110, "Date").
    fn receiver_time(&self) -> Option<SystemTime> {
        None
    }
}

/// The outcome of one request, as far as the spool needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The receiver accepted all spans but `rejected` ones, which must not be sent again (OTLP specification,
    /// "Partial Success"). A message without rejected spans is a warning.
    Delivered { rejected: u64, warned: bool },
    /// Keep the runs and try again, not before `after` if the server named a delay.
    Retry { after: Option<Duration>, kind: FailureKind },
    /// The same request must not be sent again.
    Refused { kind: FailureKind },
}

impl DeliveryOutcome {
    /// Everything was accepted, without a warning.
    pub(crate) const DELIVERED: Self = Self::Delivered { rejected: 0, warned: false };

    /// A failure that may pass. No run is lost.
    pub(crate) fn retry(kind: FailureKind) -> Self {
        Self::Retry { after: None, kind }
    }

    /// The outcome of an HTTP status. `None` for a success, whose body decides.
    pub(crate) fn from_http_status(status: u16, after: Option<Duration>) -> Option<Self> {
        let kind = FailureKind::Http(status);
        match status {
            200..=299 => None,
            413 => Some(Self::Refused { kind: FailureKind::TooLarge }),
            429 | 502 | 503 | 504 => Some(Self::Retry { after, kind }),
            // "Proxy Authentication Required" (RFC 9110) and "Network Authentication Required" (RFC 6585) never come
            // from the receiver. Something on the way wants a login first.
            407 | 511 => Some(Self::retry(FailureKind::Proxy(Some(status)))),
            400..=599 => Some(Self::Refused { kind }),
            // Redirects are not followed, because credentials and spans are for one destination only. They are not
            // refusals either, because captive portals redirect too.
            _ => Some(Self::retry(kind)),
        }
    }

    /// The outcome of a gRPC status other than OK. `delay` is the server's `RetryInfo` (OTLP specification,
    /// "Failures").
    pub(crate) fn from_grpc_status(code: i32, delay: Option<Duration>) -> Self {
        const CANCELLED: i32 = 1;
        const DEADLINE_EXCEEDED: i32 = 4;
        const RESOURCE_EXHAUSTED: i32 = 8;
        const ABORTED: i32 = 10;
        const OUT_OF_RANGE: i32 = 11;
        const UNAVAILABLE: i32 = 14;
        const DATA_LOSS: i32 = 15;

        let kind = FailureKind::Grpc(code);
        match code {
            CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => {
                Self::Retry { after: delay, kind }
            }
            RESOURCE_EXHAUSTED if delay.is_some() => Self::Retry { after: delay, kind },
            _ => Self::Refused { kind },
        }
    }

    /// The outcome of a partial success. The Collector sends an empty one with every success. A negative count means
    /// nothing; the caller caps a count that is larger than the request.
    pub(crate) fn from_partial_success(rejected: i64, has_message: bool) -> Self {
        let rejected = u64::try_from(rejected).unwrap_or(0);
        Self::Delivered { rejected, warned: rejected == 0 && has_message }
    }
}

/// Parses `Retry-After`: seconds, or an HTTP date. A date in the past means at once. The date is a time by the server's
/// clock, which its own `Date` header gives, because ours (`now`) may be years off.
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) fn parse_retry_after(value: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // 136 years, the cap, can still be added to a time.
        let seconds = value.parse().unwrap_or(u32::MAX);
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = date.and_then(parse_date).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

/// Parses a `Date` header.
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) fn parse_date(date: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(date.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_http_statuses_that_otlp_lists_are_retried() {
        let after = Some(Duration::from_secs(7));
        for status in [200, 202, 204] {
            assert_eq!(DeliveryOutcome::from_http_status(status, after), None);
        }
        for status in [429, 502, 503, 504] {
            let kind = FailureKind::Http(status);
            assert_eq!(
                DeliveryOutcome::from_http_status(status, after),
                Some(DeliveryOutcome::Retry { after, kind })
            );
        }
        for status in [400, 401, 403, 404, 405, 408, 415, 422, 500, 501, 505, 599] {
            assert_eq!(
                DeliveryOutcome::from_http_status(status, after),
                Some(DeliveryOutcome::Refused { kind: FailureKind::Http(status) })
            );
        }
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(
                DeliveryOutcome::from_http_status(status, after),
                Some(DeliveryOutcome::retry(FailureKind::Http(status)))
            );
        }
        assert_eq!(
            DeliveryOutcome::from_http_status(413, after),
            Some(DeliveryOutcome::Refused { kind: FailureKind::TooLarge })
        );
        for status in [407, 511] {
            assert_eq!(
                DeliveryOutcome::from_http_status(status, after),
                Some(DeliveryOutcome::retry(FailureKind::Proxy(Some(status))))
            );
        }
    }

    #[test]
    fn only_the_grpc_statuses_that_otlp_lists_are_retried() {
        for after in [None, Some(Duration::from_secs(2))] {
            for code in [1, 4, 10, 11, 14, 15] {
                assert_eq!(
                    DeliveryOutcome::from_grpc_status(code, after),
                    DeliveryOutcome::Retry { after, kind: FailureKind::Grpc(code) }
                );
            }
            for code in [2, 3, 5, 6, 7, 9, 12, 13, 16, 99] {
                assert_eq!(
                    DeliveryOutcome::from_grpc_status(code, after),
                    DeliveryOutcome::Refused { kind: FailureKind::Grpc(code) }
                );
            }
        }
        let kind = FailureKind::Grpc(8);
        assert_eq!(DeliveryOutcome::from_grpc_status(8, None), DeliveryOutcome::Refused { kind });
        let after = Some(Duration::ZERO);
        assert_eq!(DeliveryOutcome::from_grpc_status(8, after), DeliveryOutcome::Retry { after, kind });
    }

    #[test]
    fn a_partial_success_is_never_retried() {
        assert_eq!(DeliveryOutcome::from_partial_success(0, false), DeliveryOutcome::DELIVERED);
        assert_eq!(
            DeliveryOutcome::from_partial_success(0, true),
            DeliveryOutcome::Delivered { rejected: 0, warned: true }
        );
        assert_eq!(
            DeliveryOutcome::from_partial_success(3, true),
            DeliveryOutcome::Delivered { rejected: 3, warned: false }
        );
        assert_eq!(DeliveryOutcome::from_partial_success(-3, false), DeliveryOutcome::DELIVERED);
        assert_eq!(
            DeliveryOutcome::from_partial_success(i64::MIN, true),
            DeliveryOutcome::Delivered { rejected: 0, warned: true }
        );
    }

    #[cfg(any(feature = "http", feature = "grpc"))]
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(parse_retry_after("120", None, now), seconds(120));
        assert_eq!(parse_retry_after(" 0 ", None, now), seconds(0));
        assert_eq!(parse_retry_after("99999999999999999999", None, now), seconds(u32::MAX.into()));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", None, now), seconds(30));
        assert_eq!(parse_retry_after("Sunday, 06-Nov-94 08:50:07 GMT", None, now), seconds(30));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", None, now), seconds(0));
        for value in ["", "soon", "-1", "1.5", "+3"] {
            assert_eq!(parse_retry_after(value, None, now), None, "{value}");
        }
    }

    #[cfg(any(feature = "http", feature = "grpc"))]
    #[test]
    fn a_retry_date_is_relative_to_the_servers_clock() {
        let until = "Sun, 06 Nov 1994 08:50:07 GMT";
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for our_clock in [0, 784_111_777, 1_900_000_000] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(our_clock);
            assert_eq!(parse_retry_after(until, date, now), Some(Duration::from_secs(30)));
            assert_eq!(parse_retry_after("7", date, now), Some(Duration::from_secs(7)));
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(parse_retry_after(until, Some("yesterday"), now), Some(Duration::from_secs(30)));
    }
}
