//! Kinds of failure, as the state on disk and `status` name them: a closed set, in which there is no room for a
//! server's own text or for the value of a setting.

use std::path::{Path, PathBuf};

use crate::consent::policy::PolicyFile;
use crate::consent::preflight::Preflight;
use crate::env::{self, Environment};
use crate::model::chosen_by::ChosenBy;

/// What went wrong the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No connection: name not found, refused, unreachable, or reset before an answer.
    Connection,
    /// Connected, and no complete answer in time.
    Timeout,
    /// TLS could not be agreed, or the certificate is not trusted.
    Tls(TlsFailure),
    /// An HTTP status that is not a success.
    Http(u16),
    /// A gRPC status that is not OK.
    Grpc(i32),
    /// An answer that is not OTLP, such as a captive portal's page.
    NotOtlp,
    /// The request or the answer is larger than the limit.
    TooLarge,
    /// What stands between us and the destination did not let the request through, with this HTTP status if it gave
    /// one: a proxy, or a network that wants a login first.
    Proxy(Option<u16>),
    /// Somebody's own exporter said no, or nothing.
    Exporter,
    /// A setting of the destination cannot be used.
    Settings(Setting, SettingFault),
    /// What became of a request cannot be written down, so none is sent.
    Disk,
    /// The uploader itself failed.
    Panic,
}

/// Defines a closed set with the stable name of each member.
macro_rules! named {
    ($(#[$doc:meta])* enum $set:ident { $($(#[$member_doc:meta])* $member:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $set { $($(#[$member_doc])* $member,)* }

        impl $set {
            pub(crate) const ALL: &[Self] = &[$(Self::$member,)*];

            fn name(self) -> &'static str {
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
        /// The server shows a certificate that is itself the trusted root, and is marked as an authority.
        RootAsServer = "root_as_server",
        Expired = "expired",
        /// The certificate is for other names.
        OtherName = "other_name",
        /// The server asks for a client certificate, and none is set.
        ClientCertificate = "client_certificate",
        /// The server does not accept the client certificate that is set.
        ClientRefused = "client_refused",
        /// What answers speaks no TLS.
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
    /// What is wrong with a setting.
    enum SettingFault {
        // Of files.
        Missing = "missing",
        Forbidden = "forbidden",
        NotAFile = "not_a_file",
        Unreadable = "unreadable",
        TooLarge = "too_large",
        Relative = "relative",
        // Of certificates and keys.
        NoCertificate = "no_certificate",
        NoKey = "no_key",
        /// The key does not fit the certificate.
        OtherKey = "other_key",
        /// A client certificate without its key, or the other way round.
        Alone = "alone",
        // Of headers.
        NoHeader = "no_header",
        NoValue = "no_value",
        BadName = "bad_name",
        BadValue = "bad_value",
        Quoted = "quoted",
        Json = "json",
        LineBreak = "line_break",
        /// A header that describes the body or the connection.
        Reserved = "reserved",
        // Of all others.
        NotText = "not_text",
        NotAnAddress = "not_an_address",
        NotBuilt = "not_built",
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
            FailureKind::Settings(setting, fault) => {
                write!(f, "settings {} {}", setting.name(), fault.name())
            }
            FailureKind::Disk => f.write_str("disk"),
            FailureKind::Panic => f.write_str("panic"),
        }
    }
}

impl FailureKind {
    /// Reads a stable name; nothing for one of another version.
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
                let (setting, fault) = rest.split_once(' ')?;
                FailureKind::Settings(Setting::from_name(setting)?, SettingFault::from_name(fault)?)
            }
            ("disk", "") => FailureKind::Disk,
            ("panic", "") => FailureKind::Panic,
            _ => return None,
        })
    }

    /// One sentence for people: what is wrong, where, what to do, and what becomes of the runs.
    pub(crate) fn text(self, names: &Names) -> String {
        let certificate = || names.of(Setting::Certificate);
        match self {
            FailureKind::Connection => {
                "there is no connection to the receiver; runs wait, and are sent when there is".to_owned()
            }
            FailureKind::Timeout => "the receiver does not answer in time; runs wait".to_owned(),
            FailureKind::Tls(failure) => match failure {
                TlsFailure::UnknownIssuer => format!(
                    "no root that is trusted here has signed the receiver's certificate; name the certificate of its \
                     authority in {}; runs wait",
                    certificate()
                ),
                TlsFailure::RootAsServer => format!(
                    "the receiver's certificate is marked as an authority (CA:TRUE), so it cannot be its own root in {}; \
                     make it with CA:FALSE, or have an authority sign it; runs wait",
                    certificate()
                ),
                TlsFailure::Expired => {
                    "the receiver's certificate is not valid at this time; renew it, or set this machine's clock; runs \
                     wait"
                        .to_owned()
                }
                TlsFailure::OtherName => format!(
                    "the receiver's certificate is for other names than the host in {}; runs wait",
                    names.of(Setting::Endpoint)
                ),
                TlsFailure::ClientCertificate => format!(
                    "the receiver asks for a client certificate, and none is set; name one in {} and its key in {}; runs \
                     wait",
                    names.of(Setting::ClientCertificate),
                    names.of(Setting::ClientKey)
                ),
                TlsFailure::ClientRefused => format!(
                    "the receiver does not accept the client certificate in {}; runs wait",
                    names.of(Setting::ClientCertificate)
                ),
                TlsFailure::NoTls => format!(
                    "what answers does not speak TLS; check scheme and port in {}; runs wait",
                    names.of(Setting::Endpoint)
                ),
                TlsFailure::Other => "no TLS connection could be agreed with the receiver; runs wait".to_owned(),
            },
            FailureKind::Http(status) => http_text(status, names),
            FailureKind::Grpc(code) => grpc_text(code, names),
            FailureKind::NotOtlp => format!(
                "what answers does not speak OTLP, such as the login page of a network; check {}; runs wait",
                names.of(Setting::Endpoint)
            ),
            FailureKind::TooLarge => "the request or its answer is too large; requests shrink, and a run that is too large by \
                                      itself is dropped and counted"
                .to_owned(),
            FailureKind::Proxy(None) => format!(
                "there is no connection to the proxy; check {}; runs wait",
                names.of(Setting::Proxy)
            ),
            FailureKind::Proxy(Some(407)) => format!(
                "the proxy wants a user and a password; put them into {}; runs wait",
                names.of(Setting::Proxy)
            ),
            FailureKind::Proxy(Some(511)) => "the network wants a login first; runs wait".to_owned(),
            FailureKind::Proxy(Some(status)) => format!(
                "the proxy, not the receiver, refuses the connection with {status}; ask whoever runs it, or name the \
                 receiver's host in NO_PROXY; runs wait"
            ),
            FailureKind::Exporter => "the tool's own exporter could not deliver; runs wait".to_owned(),
            FailureKind::Settings(setting, fault) => setting_text(setting, fault, names),
            FailureKind::Disk => "the state directory cannot be written; nothing is sent until it can".to_owned(),
            FailureKind::Panic => {
                "the uploader failed, which is an error of this tool or its libraries: report it to the tool's author; \
                 runs wait"
                    .to_owned()
            }
        }
    }
}

/// What becomes of what is refused for good, as OTLP demands.
const DROPS: &str = "; what it refuses is dropped and counted";

fn http_text(status: u16, names: &Names) -> String {
    match status {
        401 => format!(
            "the receiver wants credentials, or does not know these; check {}{DROPS}",
            names.headers()
        ),
        403 => format!(
            "the receiver knows these credentials, and forbids the request; check {}{DROPS}",
            names.headers()
        ),
        404 => format!("the receiver has nothing at this path; check {}{DROPS}", names.of(Setting::Endpoint)),
        405 => {
            format!("there is no OTLP receiver at this path; check {}{DROPS}", names.of(Setting::Endpoint))
        }
        415 => {
            format!("the receiver does not take this encoding; check {}{DROPS}", names.of(Setting::Protocol))
        }
        429 => "the receiver takes no more at present; runs wait".to_owned(),
        502..=504 => "the receiver is not available at present; runs wait".to_owned(),
        300..=399 => {
            format!(
                "the receiver is at another address, which is not followed; check {}; runs wait",
                names.of(Setting::Endpoint)
            )
        }
        500..=599 => format!("the receiver has failed; its log may say why{DROPS}"),
        400..=499 => format!("the receiver refuses the request; its log may say why{DROPS}"),
        _ => format!(
            "what answers does not speak HTTP as it is known; check {}; runs wait",
            names.of(Setting::Endpoint)
        ),
    }
}

fn grpc_text(code: i32, names: &Names) -> String {
    match code {
        7 => format!("the receiver forbids the request; check {}{DROPS}", names.headers()),
        // It waits only if the server says for how long.
        8 => "the receiver has no room for this at present, or takes no request of this size; what it refuses for good \
              is dropped and counted"
            .to_owned(),
        12 => format!(
            "the receiver has no OTLP service for traces, or does not take gzip; check {}{DROPS}",
            names.of(Setting::Endpoint)
        ),
        16 => format!("the receiver wants credentials, or does not know these; check {}{DROPS}", names.headers()),
        1 | 4 | 10 | 11 | 14 | 15 => "the receiver is not available at present; runs wait".to_owned(),
        _ => format!("the receiver refuses the request; its log may say why{DROPS}"),
    }
}

fn setting_text(setting: Setting, fault: SettingFault, names: &Names) -> String {
    let name = names.of(setting);
    let file = || names.file(setting);
    let what = match fault {
        SettingFault::Missing
            if setting == Setting::Roots && names.files.iter().all(|(known, _)| *known != setting) =>
        {
            return format!(
                "there are no root certificates on this machine; install them (the package ca-certificates), or name a \
                 file in {name}; runs wait"
            );
        }
        SettingFault::Missing if setting == Setting::Roots => format!("{} holds no root certificate", file()),
        SettingFault::Missing => format!("{} does not exist", file()),
        SettingFault::Forbidden => format!("{} may not be read by this user", file()),
        SettingFault::NotAFile => format!("{} is not a regular file", file()),
        SettingFault::Unreadable => format!("{} cannot be read", file()),
        SettingFault::TooLarge => format!("{} is too large", file()),
        SettingFault::Relative => format!("{} is not an absolute path", file()),
        SettingFault::NoCertificate => format!("{} holds no certificate in PEM that can be used", file()),
        SettingFault::NoKey => format!("{} holds no private key in PEM that can be used", file()),
        SettingFault::OtherKey => {
            format!(
                "{} does not belong to the certificate in {}",
                file(),
                names.of(Setting::ClientCertificate)
            )
        }
        SettingFault::Alone => {
            let other = match setting {
                Setting::ClientKey => Setting::ClientCertificate,
                _ => Setting::ClientKey,
            };
            format!("{name} is set without {}", names.of(other))
        }
        SettingFault::NoHeader => format!("{name} gives no header"),
        SettingFault::NoValue => {
            format!("{name} has a header without `=`; write name=value, and a comma in a value as %2C")
        }
        SettingFault::BadName => format!("{name} has a header whose name no header can have"),
        SettingFault::BadValue => {
            format!("{name} has a value with a character that no header can hold, such as a line break")
        }
        SettingFault::Quoted => {
            format!("{name} has a header in quotes; write it without, or %22 for a real one")
        }
        SettingFault::Json => format!("{name} is written as JSON; write name=value,name=value"),
        SettingFault::LineBreak => {
            format!("{name} holds a line break; write name=value,name=value on one line")
        }
        SettingFault::Reserved => {
            format!("{name} has a header about the body or the connection, which is not to be set")
        }
        SettingFault::NotText => format!("{name} holds bytes that are not UTF-8"),
        SettingFault::NotAnAddress => format!("{name} is not an address that can be used"),
        SettingFault::NotBuilt => format!("{name} names a protocol that this program was built without"),
    };
    format!("{what}; runs wait until that is mended")
}

/// What people call the settings of one destination: variables or the policy's keys, and the files that they name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// Where they differ from the general variables of OTLP.
    pub(crate) settings: Vec<(Setting, String)>,
    pub(crate) files: Vec<(Setting, PathBuf)>,
}

impl Names {
    /// The names of the settings in force for this process.
    pub(crate) fn in_force(preflight: &Preflight, environment: Environment<'_>, policy_file: &Path) -> Self {
        let mut names = Self::default();
        let Some(destination) = preflight.destination() else { return names };
        if destination.chosen_by == ChosenBy::Maker {
            names.settings.push((Setting::Endpoint, "the maker's endpoint".to_owned()));
            // The maker's gets none of OTLP's variables.
            names.settings.push((Setting::Certificate, env::SSL_CERT_FILE.to_owned()));
        } else {
            let is_policy =
                matches!(&preflight.policy, PolicyFile::Valid(policy) if policy.endpoint.is_some());
            let variables = [env::OTEL_EXPORTER_OTLP_TRACES, env::OTEL_EXPORTER_OTLP];
            for setting in Setting::ALL {
                let key = setting.name().to_ascii_uppercase();
                let name = if is_policy {
                    Some(format!("{} in {}", setting.name(), policy_file.display()))
                } else {
                    environment.otlp(&variables, &key).map(|(name, _)| name)
                };
                let has_key = env::OTLP_SETTINGS.contains(&&*key) || *setting == Setting::HeadersFile;
                names.settings.extend(name.filter(|_| has_key).map(|name| (*setting, name)));
                let is_file = env::OTLP_PATHS.contains(&&*key) || *setting == Setting::HeadersFile;
                let value = destination.settings.iter().find(|(name, _)| *name == key);
                names.files.extend(value.filter(|_| is_file).map(|(_, path)| (*setting, path.into())));
            }
        }
        let roots = [env::SSL_CERT_FILE, env::SSL_CERT_DIR]
            .into_iter()
            .find_map(|name| Some((name, environment.raw(name)?)));
        if let Some((name, path)) = roots {
            names.settings.push((Setting::Roots, name.to_owned()));
            names.files.push((Setting::Roots, path.into()));
        }
        names
    }

    /// Some certificates of a bundle cannot be used, and the others are.
    #[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
    pub(crate) fn unusable_roots(&self, unusable: usize) -> String {
        let (certificates, are) = if unusable == 1 { ("certificate", "is") } else { ("certificates", "are") };
        format!(
            "{unusable} {certificates} of {} cannot be read and {are} left out; the others are trusted",
            self.file(Setting::Certificate)
        )
    }

    fn of(&self, setting: Setting) -> String {
        if let Some((_, name)) = self.settings.iter().find(|(known, _)| *known == setting) {
            return name.clone();
        }
        match setting {
            Setting::HeadersFile => "headers_file".to_owned(),
            Setting::Roots => "SSL_CERT_FILE".to_owned(),
            Setting::Proxy => "the variable of the proxy (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)".to_owned(),
            other => [env::OTEL_EXPORTER_OTLP, &other.name().to_ascii_uppercase()].concat(),
        }
    }

    /// The setting that gives the headers.
    fn headers(&self) -> String {
        let is_file = |(setting, _): &(Setting, PathBuf)| *setting == Setting::HeadersFile;
        self.of(if self.files.iter().any(is_file) { Setting::HeadersFile } else { Setting::Headers })
    }

    fn file(&self, setting: Setting) -> String {
        match self.files.iter().find(|(known, _)| *known == setting) {
            Some((_, path)) => format!("{} (set by {})", path.display(), self.of(setting)),
            None => format!("the file that {} names", self.of(setting)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<FailureKind> {
        use FailureKind::*;
        let mut all =
            vec![Connection, Timeout, Http(401), Grpc(16), NotOtlp, TooLarge, Proxy(None), Proxy(Some(407))];
        all.extend([Exporter, Disk, Http(u16::MAX), Grpc(i32::MIN)]);
        all.extend(TlsFailure::ALL.iter().map(|failure| Tls(*failure)));
        all.extend(
            Setting::ALL
                .iter()
                .flat_map(|setting| SettingFault::ALL.iter().map(|fault| Settings(*setting, *fault))),
        );
        all
    }

    #[test]
    fn every_kind_is_read_as_it_is_written() {
        for kind in all() {
            let name = kind.to_string();
            assert_eq!(FailureKind::parse(&name), Some(kind));
            assert!(name.len() <= crate::spool::counters::LONGEST_FAILURE_NAME, "{name}");
        }
        for name in ["", "tls x", "settings", "settings headers", "http x", "connection x", "lost at sea"] {
            assert_eq!(FailureKind::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_kind_has_one_sentence() {
        for kind in all() {
            let text = kind.text(&Names::default());
            assert!(text.len() > 20 && !text.contains('\n') && !text.contains("  "), "{kind}: {text}");
        }
    }

    #[test]
    fn every_sentence_says_what_becomes_of_the_runs() {
        let kinds = (300..600).map(FailureKind::Http).chain((1..=17).map(FailureKind::Grpc));
        for kind in all().into_iter().chain(kinds) {
            let text = kind.text(&Names::default());
            let says = ["runs wait", "nothing is sent until it can", "is dropped and counted"];
            assert_eq!(says.iter().filter(|says| text.contains(**says)).count(), 1, "{kind}: {text}");
        }
    }
}
