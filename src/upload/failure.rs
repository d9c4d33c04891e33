//! The kinds of failure, with the names that the state on disk and `status` use. The set is closed: it has no room for
//! a server's text or the value of a setting.

/// Why a request was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The host is unknown or unreachable, or the connection was refused, or reset before an answer.
    Connection,
    /// No complete answer arrived in time.
    Timeout,
    Tls(TlsFailure),
    /// An HTTP status other than a success.
    Http(u16),
    /// A gRPC status other than OK.
    Grpc(i32),
    /// An answer that is not OTLP, such as a captive portal's page.
    NotOtlp,
    /// The request or the answer is larger than the limit.
    TooLarge,
    /// A proxy, or a network that requires a login, did not let the request through; with its HTTP status, if it sent
    /// one.
    Proxy(Option<u16>),
    /// The author's own exporter failed, or did not return in time.
    Exporter,
    /// A setting of the destination cannot be used.
    Settings(Setting, SettingError),
    /// Outcomes cannot be written to disk, so nothing is sent.
    Disk,
    /// The uploader panicked.
    Panic,
}

/// Defines an enum with a stable name for each member.
macro_rules! named {
    ($(#[$doc:meta])* enum $set:ident { $($(#[$member_doc:meta])* $member:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $set { $($(#[$member_doc])* $member,)* }

        impl $set {
            pub(crate) const ALL: &[Self] = &[$(Self::$member,)*];

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$member => $name,)* }
            }

            fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.name() == name)
            }
        }
    };
}

named! {
    /// Why there is no TLS connection.
    enum TlsFailure {
        /// No trusted root has signed the server's certificate.
        UnknownIssuer = "unknown_issuer",
        /// The server presents the trusted root itself, and that is marked as an authority.
        RootAsServer = "root_as_server",
        Expired = "expired",
        /// The certificate is valid for other names only.
        OtherName = "other_name",
        /// The server requires a client certificate, and none is set.
        ClientCertificate = "client_certificate",
        /// The server rejects the client certificate that is set.
        ClientRefused = "client_refused",
        /// The server does not speak TLS.
        NoTls = "no_tls",
        Other = "other",
    }
}

named! {
    /// A setting of a destination.
    enum Setting {
        Endpoint = "endpoint",
        Protocol = "protocol",
        Headers = "headers",
        HeadersFile = "headers_file",
        Certificate = "certificate",
        ClientCertificate = "client_certificate",
        ClientKey = "client_key",
        /// The system's roots, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
        Roots = "roots",
        Proxy = "proxy",
    }
}

named! {
    /// Why a setting cannot be used.
    enum SettingError {
        // In a file.
        Missing = "missing",
        Forbidden = "forbidden",
        NotAFile = "not_a_file",
        Unreadable = "unreadable",
        TooLarge = "too_large",
        Relative = "relative",
        // In a certificate or a key.
        NoCertificate = "no_certificate",
        NoKey = "no_key",
        /// The key does not match the certificate.
        OtherKey = "other_key",
        /// A client certificate without its key, or a key without its certificate.
        Alone = "alone",
        // In a list of headers.
        NoHeader = "no_header",
        NoValue = "no_value",
        BadName = "bad_name",
        BadValue = "bad_value",
        Quoted = "quoted",
        Json = "json",
        LineBreak = "line_break",
        /// A header that describes the body or the connection.
        Reserved = "reserved",
        // In any setting.
        NotText = "not_text",
        NotAnAddress = "not_an_address",
        NotBuilt = "not_built",
    }
}

impl SettingError {
    /// Whether the error is in the file that the setting names, not in the setting.
    pub(super) fn is_file_error(self) -> bool {
        use SettingError::*;
        matches!(
            self,
            Missing
                | Forbidden
                | NotAFile
                | Unreadable
                | TooLarge
                | Relative
                | NoCertificate
                | NoKey
                | OtherKey
        )
    }
}

impl std::fmt::Display for FailureKind {
    /// The stable name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FailureKind::Connection => f.write_str("connection"),
            FailureKind::Timeout => f.write_str("timeout"),
            FailureKind::Tls(TlsFailure::Other) => f.write_str("tls"),
            FailureKind::Tls(failure) => write!(f, "tls {}", failure.name()),
            FailureKind::Http(status) => write!(f, "http {status}"),
            FailureKind::Grpc(code) => write!(f, "grpc {code}"),
            FailureKind::NotOtlp => f.write_str("not otlp"),
            FailureKind::TooLarge => f.write_str("too large"),
            FailureKind::Proxy(None) => f.write_str("proxy"),
            FailureKind::Proxy(Some(status)) => write!(f, "proxy {status}"),
            FailureKind::Exporter => f.write_str("exporter"),
            FailureKind::Settings(setting, error) => {
                write!(f, "settings {} {}", setting.name(), error.name())
            }
            FailureKind::Disk => f.write_str("disk"),
            FailureKind::Panic => f.write_str("panic"),
        }
    }
}

impl FailureKind {
    /// Parses a stable name. `None` if another version defined it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (word, rest) = name.split_once(' ').unwrap_or((name, ""));
        Some(match (word, rest) {
            ("connection", "") => FailureKind::Connection,
            ("timeout", "") => FailureKind::Timeout,
            ("tls", "") => FailureKind::Tls(TlsFailure::Other),
            ("tls", failure) => FailureKind::Tls(TlsFailure::from_name(failure)?),
            ("http", status) => FailureKind::Http(status.parse().ok()?),
            ("grpc", code) => FailureKind::Grpc(code.parse().ok()?),
            ("not", "otlp") => FailureKind::NotOtlp,
            ("too", "large") => FailureKind::TooLarge,
            ("proxy", "") => FailureKind::Proxy(None),
            ("proxy", status) => FailureKind::Proxy(Some(status.parse().ok()?)),
            ("exporter", "") => FailureKind::Exporter,
            ("settings", rest) => {
                let (setting, error) = rest.split_once(' ')?;
                FailureKind::Settings(Setting::from_name(setting)?, SettingError::from_name(error)?)
            }
            ("disk", "") => FailureKind::Disk,
            ("panic", "") => FailureKind::Panic,
            _ => return None,
        })
    }

    /// Whether the receiver may refuse the content of the request, so that sending part of it may help. Without
    /// permission, or at a wrong address, every request is refused.
    pub(super) fn may_depend_on_content(self) -> bool {
        match self {
            FailureKind::TooLarge => true,
            FailureKind::Http(status) => !matches!(status, 401..=406 | 415 | 426 | 501),
            // All but PERMISSION_DENIED, UNIMPLEMENTED, and UNAUTHENTICATED.
            FailureKind::Grpc(code) => !matches!(code, 7 | 12 | 16),
            _ => false,
        }
    }

    /// Whether a smaller request may get through: the receiver limits the bytes per time, or large requests take too
    /// long.
    pub(super) fn may_depend_on_size(self) -> bool {
        match self {
            FailureKind::Timeout | FailureKind::Http(429 | 504) => true,
            // DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, and OUT_OF_RANGE, which tonic sends for a message over its limit.
            FailureKind::Grpc(code) => matches!(code, 4 | 8 | 11),
            _ => false,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::upload) fn all_kinds() -> Vec<FailureKind> {
        use FailureKind::*;
        let mut all =
            vec![Connection, Timeout, Http(401), Grpc(16), NotOtlp, TooLarge, Proxy(None), Proxy(Some(407))];
        all.extend([Exporter, Disk, Panic, Http(u16::MAX), Grpc(i32::MIN)]);
        all.extend(TlsFailure::ALL.iter().map(|failure| Tls(*failure)));
        for setting in Setting::ALL {
            all.extend(SettingError::ALL.iter().map(|error| Settings(*setting, *error)));
        }
        all
    }

    #[test]
    fn every_kind_is_parsed_from_its_name() {
        for kind in all_kinds() {
            let name = kind.to_string();
            assert_eq!(FailureKind::parse(&name), Some(kind));
            assert!(name.len() <= crate::spool::counters::MAX_FAILURE_NAME, "{name}");
        }
        for name in ["", "tls x", "settings", "settings headers", "http x", "connection x", "lost at sea"] {
            assert_eq!(FailureKind::parse(name), None, "{name}");
        }
    }
}
