//! The way to one destination, whichever protocol it speaks.

use std::time::SystemTime;

use crate::upload::answer::{self, Answer, Batch, FailureKind};
use crate::upload::drain::Deliver;
#[cfg(feature = "http")]
use crate::upload::http::{self, HttpTransport};
use crate::upload::settings::{Protocol, Settings};

/// A destination that spans can be sent to, one request after the other.
#[derive(Debug)]
pub(crate) enum Transport {
    #[cfg(feature = "http")]
    Http(Box<HttpTransport>),
    /// The settings cannot be used, or the protocol is not in this build. They can be mended, so nothing is lost
    /// by it before its time.
    Unusable,
}

impl Transport {
    /// Prepares everything but the connection.
    pub(crate) fn open(settings: &Settings) -> Self {
        let transport = match settings.protocol {
            #[cfg(feature = "http")]
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                let variable = |name: &str| std::env::var(name).ok();
                HttpTransport::open(settings, http::MAX_REQUEST_BYTES, &variable)
                    .map(|transport| Self::Http(Box::new(transport)))
            }
            #[allow(unreachable_patterns, reason = "with every feature each protocol has its transport")]
            _ => None,
        };
        transport.unwrap_or(Self::Unusable)
    }

    /// Sends the batch as one request and waits for the answer, at most for the settings' timeout. `now` is what an
    /// HTTP date in `Retry-After` is read against.
    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> Answer {
        match self {
            #[cfg(feature = "http")]
            Self::Http(transport) => transport.send(batch, now),
            Self::Unusable => answer::retry(FailureKind::Settings),
        }
    }
}

impl Deliver for Transport {
    fn deliver(&mut self, batch: &Batch<'_>) -> Answer {
        self.send(batch, SystemTime::now())
    }
}
