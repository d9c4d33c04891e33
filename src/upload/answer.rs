//! What an uploader sends, and what an answer to it means. No I/O happens here.

use std::time::Duration;
#[cfg(any(feature = "http", feature = "grpc"))]
use std::time::SystemTime;

use crate::model::data_points::DataPoints;
use crate::model::span::{Span, Tool};
pub(crate) use crate::upload::failure::FailureKind;

/// The spans of some runs of one version of the tool: one request.
#[derive(Debug, Clone)]
pub(crate) struct Batch<'a> {
    pub(crate) data_points: &'static DataPoints,
    pub(crate) tool: Tool<'a>,
    pub(crate) spans: &'a [Span],
}

/// Sends one batch somewhere.
pub(crate) trait Transport {
    /// Bounded in time.
    fn deliver(&mut self, batch: &Batch<'_>) -> DeliveryOutcome;
}

/// What became of a request, as far as the spool needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// All of it was accepted, or all but `rejected` spans, which must not be sent again (OTLP specification,
    /// "Partial Success"). A message without rejected spans is a warning.
    Delivered { rejected: u64, warned: bool },
    /// Keep everything and come back later; not before `after`, if the server said so.
    Retry { after: Option<Duration>, kind: FailureKind },
    /// This request must not be sent again as it is.
    Refused { kind: FailureKind },
}

/// All of it was accepted, without a word.
pub(crate) const DELIVERED: DeliveryOutcome = DeliveryOutcome::Delivered { rejected: 0, warned: false };

/// What an HTTP status decides by itself; nothing for a success, whose body decides.
pub(crate) fn of_http_status(status: u16, after: Option<Duration>) -> Option<DeliveryOutcome> {
    let kind = FailureKind::Http(status);
    match status {
        200..=299 => None,
        413 => Some(DeliveryOutcome::Refused { kind: FailureKind::TooLarge }),
        429 | 502 | 503 | 504 => Some(DeliveryOutcome::Retry { after, kind }),
        // "Proxy Authentication Required" (RFC 9110) and "Network Authentication Required" (RFC 6585) are never the
        // server's own: something on the way wants a login first.
        407 | 511 => Some(DeliveryOutcome::Retry { after: None, kind: FailureKind::Proxy(Some(status)) }),
        400..=599 => Some(DeliveryOutcome::Refused { kind }),
        // A redirect is not followed, since credentials and spans are for one destination only; nor is it a
        // refusal, since a captive portal redirects too.
        _ => Some(DeliveryOutcome::Retry { after: None, kind }),
    }
}

/// What a gRPC status other than OK means; `delay` is the server's `RetryInfo` (OTLP specification, "Failures").
#[cfg(feature = "grpc")]
pub(crate) fn of_grpc_status(code: i32, delay: Option<Duration>) -> DeliveryOutcome {
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
            DeliveryOutcome::Retry { after: delay, kind }
        }
        RESOURCE_EXHAUSTED if delay.is_some() => DeliveryOutcome::Retry { after: delay, kind },
        _ => DeliveryOutcome::Refused { kind },
    }
}

/// What a partial success says. The Collector sends an empty one with every success. A negative number says nothing;
/// one that is larger than the request is the caller's to cap.
pub(crate) fn of_partial_success(rejected: i64, has_message: bool) -> DeliveryOutcome {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    DeliveryOutcome::Delivered { rejected, warned: rejected == 0 && has_message }
}

/// Nothing is lost: what went wrong may be right the next time.
pub(crate) fn retry(kind: FailureKind) -> DeliveryOutcome {
    DeliveryOutcome::Retry { after: None, kind }
}

/// Reads `Retry-After`: seconds, or an HTTP date, of which one that has passed means at once. A date is a time by the
/// server's clock, which the answer's own `Date` tells; ours (`now`) may be years off.
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) fn retry_after(value: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // So long that it does not matter, and short enough to be added to a time.
        let seconds = value.parse().unwrap_or(u32::MAX);
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_status_is_retried_only_where_otlp_says_so() {
        let after = Some(Duration::from_secs(7));
        for status in [200, 202, 204] {
            assert_eq!(of_http_status(status, after), None);
        }
        for status in [429, 502, 503, 504] {
            let kind = FailureKind::Http(status);
            assert_eq!(of_http_status(status, after), Some(DeliveryOutcome::Retry { after, kind }));
        }
        for status in [400, 401, 403, 404, 405, 408, 415, 422, 500, 501, 505, 599] {
            assert_eq!(
                of_http_status(status, after),
                Some(DeliveryOutcome::Refused { kind: FailureKind::Http(status) })
            );
        }
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(of_http_status(status, after), Some(retry(FailureKind::Http(status))));
        }
        assert_eq!(
            of_http_status(413, after),
            Some(DeliveryOutcome::Refused { kind: FailureKind::TooLarge })
        );
        for status in [407, 511] {
            assert_eq!(of_http_status(status, after), Some(retry(FailureKind::Proxy(Some(status)))));
        }
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_grpc_status_is_retried_only_where_otlp_says_so() {
        for after in [None, Some(Duration::from_secs(2))] {
            for code in [1, 4, 10, 11, 14, 15] {
                assert_eq!(
                    of_grpc_status(code, after),
                    DeliveryOutcome::Retry { after, kind: FailureKind::Grpc(code) }
                );
            }
            for code in [2, 3, 5, 6, 7, 9, 12, 13, 16, 99] {
                assert_eq!(
                    of_grpc_status(code, after),
                    DeliveryOutcome::Refused { kind: FailureKind::Grpc(code) }
                );
            }
        }
        let kind = FailureKind::Grpc(8);
        assert_eq!(of_grpc_status(8, None), DeliveryOutcome::Refused { kind });
        let after = Some(Duration::ZERO);
        assert_eq!(of_grpc_status(8, after), DeliveryOutcome::Retry { after, kind });
    }

    #[test]
    fn a_partial_success_is_never_retried() {
        assert_eq!(of_partial_success(0, false), DELIVERED);
        assert_eq!(of_partial_success(0, true), DeliveryOutcome::Delivered { rejected: 0, warned: true });
        assert_eq!(of_partial_success(3, true), DeliveryOutcome::Delivered { rejected: 3, warned: false });
        assert_eq!(of_partial_success(-3, false), DELIVERED);
        assert_eq!(
            of_partial_success(i64::MIN, true),
            DeliveryOutcome::Delivered { rejected: 0, warned: true }
        );
    }

    #[cfg(any(feature = "http", feature = "grpc"))]
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(retry_after("120", None, now), seconds(120));
        assert_eq!(retry_after(" 0 ", None, now), seconds(0));
        assert_eq!(retry_after("99999999999999999999", None, now), seconds(u32::MAX.into()));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", None, now), seconds(30));
        assert_eq!(retry_after("Sunday, 06-Nov-94 08:50:07 GMT", None, now), seconds(30));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", None, now), seconds(0));
        for value in ["", "soon", "-1", "1.5", "+3"] {
            assert_eq!(retry_after(value, None, now), None, "{value}");
        }
    }
    #[cfg(any(feature = "http", feature = "grpc"))]
    #[test]
    fn a_date_is_read_by_the_servers_own_clock() {
        let until = "Sun, 06 Nov 1994 08:50:07 GMT";
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for our_clock in [0, 784_111_777, 1_900_000_000] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(our_clock);
            assert_eq!(retry_after(until, date, now), Some(Duration::from_secs(30)));
            assert_eq!(retry_after("7", date, now), Some(Duration::from_secs(7)));
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(until, Some("yesterday"), now), Some(Duration::from_secs(30)));
    }
}
