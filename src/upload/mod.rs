//! The uploader: how runs leave the spool.

pub(crate) mod answer;
pub(crate) mod detach;
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
pub(crate) mod drain;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod settings;

/// Whether this build can send at all.
pub(crate) const CAN_DELIVER: bool = cfg!(any(feature = "http", feature = "grpc"));

#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod transport {
    pub(crate) struct Transport;
    impl Transport {
        pub(crate) fn open(_settings: &super::settings::Settings) -> Self {
            Self
        }
    }
    impl super::drain::Deliver for Transport {
        fn deliver(&mut self, _batch: &super::answer::Batch<'_>) -> super::answer::Answer {
            super::answer::Answer::Retry {
                after: None,
                kind: super::answer::FailureKind::Settings,
            }
        }
    }
}
