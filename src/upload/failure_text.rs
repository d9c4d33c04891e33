//! The sentence that `status` prints for each kind of failure.

use std::path::{Path, PathBuf};

use crate::consent::policy::PolicyFile;
use crate::consent::preflight::Preflight;
use crate::env::{self, Environment};
use crate::model::chooser::Chooser;
use crate::upload::delivery::DeliveryOutcome;
use crate::upload::failure::{FailureKind, Setting, SettingError, TlsFailure};

impl FailureKind {
    /// One sentence for the user: the problem, the setting to check or change, and what happens to the runs.
    pub(crate) fn text(self, names: &SettingNames) -> String {
        format!("{}; {}", self.problem(names), self.consequence())
    }

    fn problem(self, names: &SettingNames) -> String {
        let endpoint = || names.of(Setting::Endpoint);
        let proxy = || names.of(Setting::Proxy);
        match self {
            FailureKind::Connection => "the receiver cannot be reached".to_owned(),
            FailureKind::Timeout => "the receiver does not answer in time".to_owned(),
            FailureKind::Tls(failure) => tls_problem(failure, names),
            FailureKind::Http(status) => http_problem(status, names),
            FailureKind::Grpc(code) => grpc_problem(code, names),
            FailureKind::NotOtlp => format!(
                "the answer is not OTLP and may come from a network's login page; check {}",
                endpoint()
            ),
            FailureKind::TooLarge => "the request or its answer is too large".to_owned(),
            FailureKind::Proxy(None) => format!("the proxy cannot be reached; check {}", proxy()),
            FailureKind::Proxy(Some(407)) => {
                format!("the proxy requires a user and a password; add them to {}", proxy())
            }
            FailureKind::Proxy(Some(511)) => "the network requires a login".to_owned(),
            FailureKind::Proxy(Some(status)) => format!(
                "the proxy, not the receiver, refuses the connection with status {status}; ask its administrator, or \
                 add the receiver's host to NO_PROXY"
            ),
            FailureKind::Exporter => "the tool's own exporter failed".to_owned(),
            FailureKind::Settings(setting, error) => setting_problem(setting, error, names),
            FailureKind::Disk => "the state directory cannot be written".to_owned(),
            FailureKind::Panic => {
                "the uploader crashed because of an error in this tool or its libraries; report it to the tool's author"
                    .to_owned()
            }
        }
    }

    fn consequence(self) -> &'static str {
        let refused = match self {
            FailureKind::TooLarge => {
                return "requests shrink, and a run that is too large by itself is dropped and counted";
            }
            FailureKind::Settings(..) => return "runs stay pending until this is fixed",
            FailureKind::Disk => return "nothing is sent until it is writable",
            FailureKind::Http(status) => DeliveryOutcome::from_http_status(status, None),
            FailureKind::Grpc(code) => Some(DeliveryOutcome::from_grpc_status(code, None)),
            _ => None,
        };
        match refused {
            Some(DeliveryOutcome::Refused { .. }) => "each run that it refuses is dropped and counted",
            _ => "runs stay pending",
        }
    }
}

fn tls_problem(failure: TlsFailure, names: &SettingNames) -> String {
    let endpoint = || names.of(Setting::Endpoint);
    let certificate = || names.of(Setting::Certificate);
    let client_certificate = || names.of(Setting::ClientCertificate);
    match failure {
        TlsFailure::UnknownIssuer => format!(
            "no trusted root has signed the receiver's certificate; name its authority's certificate in {}",
            certificate()
        ),
        TlsFailure::RootAsServer => format!(
            "the receiver's certificate is marked as an authority (CA:TRUE), so it cannot be its own root in {}; create \
             it with CA:FALSE, or have an authority sign it",
            certificate()
        ),
        TlsFailure::Expired => {
            "the receiver's certificate has expired or is not valid yet; renew it, or correct this \
                                machine's clock"
                .to_owned()
        }
        TlsFailure::OtherName => {
            format!("the receiver's certificate is not valid for the host in {}", endpoint())
        }
        TlsFailure::ClientCertificate => format!(
            "the receiver requires a client certificate; name one in {} and its key in {}",
            client_certificate(),
            names.of(Setting::ClientKey)
        ),
        TlsFailure::ClientRefused => {
            format!("the receiver rejects the client certificate in {}", client_certificate())
        }
        TlsFailure::NoTls => {
            format!("the server does not speak TLS; check the scheme and the port in {}", endpoint())
        }
        TlsFailure::Other => "the TLS handshake with the receiver failed".to_owned(),
    }
}

fn http_problem(status: u16, names: &SettingNames) -> String {
    let (problem, setting) = match status {
        401 => ("the receiver requires credentials or does not accept these", names.headers()),
        403 => ("the receiver forbids requests with these credentials", names.headers()),
        404 => ("the receiver has nothing at this path", names.of(Setting::Endpoint)),
        405 => ("there is no OTLP receiver at this path", names.of(Setting::Endpoint)),
        415 => ("the receiver does not support this encoding", names.of(Setting::Protocol)),
        429 => return "the receiver accepts no more requests at present".to_owned(),
        502..=504 => return UNAVAILABLE.to_owned(),
        300..=399 => ("the receiver redirects, and redirects are not followed", names.of(Setting::Endpoint)),
        400..=499 => return REFUSED.to_owned(),
        500..=599 => return "the receiver failed; its log may say why".to_owned(),
        _ => ("the server does not speak standard HTTP", names.of(Setting::Endpoint)),
    };
    format!("{problem}; check {setting}")
}

fn grpc_problem(code: i32, names: &SettingNames) -> String {
    let (problem, setting) = match code {
        7 => ("the receiver denies permission", names.headers()),
        // Retried only if the server names a delay.
        8 => return "the receiver has no capacity at present, or accepts no request of this size".to_owned(),
        12 => {
            ("the receiver has no OTLP trace service or does not support gzip", names.of(Setting::Endpoint))
        }
        16 => ("the receiver requires credentials or does not accept these", names.headers()),
        1 | 4 | 10 | 11 | 14 | 15 => return UNAVAILABLE.to_owned(),
        _ => return REFUSED.to_owned(),
    };
    format!("{problem}; check {setting}")
}

const UNAVAILABLE: &str = "the receiver is unavailable at present";
const REFUSED: &str = "the receiver refuses the request; its log may say why";

fn setting_problem(setting: Setting, error: SettingError, names: &SettingNames) -> String {
    let problem = match error {
        SettingError::Missing if setting == Setting::Roots && !names.has_file(setting) => {
            return format!(
                "this machine has no root certificates; install them (package ca-certificates), or name a file in {}",
                names.of(setting)
            );
        }
        SettingError::Missing if setting == Setting::Roots => "contains no root certificate",
        SettingError::Missing => "does not exist",
        SettingError::Forbidden => "is not readable by this user",
        SettingError::NotAFile => "is not a regular file",
        SettingError::Unreadable => "cannot be read",
        SettingError::TooLarge => "is too large",
        SettingError::Relative => "is not an absolute path",
        SettingError::NoCertificate => "contains no usable PEM certificate",
        SettingError::NoKey => "contains no usable PEM private key",
        SettingError::OtherKey => {
            let certificate = names.of(Setting::ClientCertificate);
            return format!("{} does not match the certificate in {certificate}", names.file(setting));
        }
        SettingError::Alone => {
            let other = match setting {
                Setting::ClientKey => Setting::ClientCertificate,
                _ => Setting::ClientKey,
            };
            return format!("{} is set without {}", names.of(setting), names.of(other));
        }
        SettingError::NoHeader => "contains no header",
        SettingError::NoValue => {
            "has a header without `=`; write name=value, and write a comma in a value as %2C"
        }
        SettingError::BadName => "has a header with an invalid name",
        SettingError::BadValue => {
            "has a header whose value contains an invalid character, such as a line break"
        }
        SettingError::Quoted => "has a quoted header; remove the quotes, or write %22 for a literal one",
        SettingError::Json => "is JSON; write name=value,name=value",
        SettingError::LineBreak => "contains a line break; write name=value,name=value on one line",
        SettingError::Reserved => "has a header about the body or the connection, which cannot be set",
        SettingError::NotText => "is not valid UTF-8",
        SettingError::NotAnAddress => "is not a usable address",
        SettingError::NotBuilt => "selects a protocol that this program was built without",
    };
    let subject = if error.is_file_error() { names.file(setting) } else { names.of(setting) };
    format!("{subject} {problem}")
}

/// How the user knows the settings of one destination: by variables or the policy's keys, and the files that these name.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingNames {
    /// Those that are not the general OTLP variables.
    pub(crate) settings: Vec<(Setting, String)>,
    pub(crate) files: Vec<(Setting, PathBuf)>,
}

impl SettingNames {
    /// The names of the settings in force for this process.
    pub(crate) fn in_force(preflight: &Preflight, environment: Environment<'_>, policy_file: &Path) -> Self {
        let mut names = Self::default();
        let Some(destination) = preflight.destination() else { return names };
        if destination.chosen_by == Chooser::Maker {
            names.settings.push((Setting::Endpoint, "the endpoint of the tool's author".to_owned()));
            // None of the OTLP variables applies to the author's endpoint.
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

    /// The warning for a bundle of which some certificates cannot be used.
    #[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
    pub(crate) fn unusable_roots(&self, unusable: usize) -> String {
        let plural = if unusable == 1 { "" } else { "s" };
        let file = self.file(Setting::Certificate);
        format!("{unusable} certificate{plural} of {file} cannot be used; the others are trusted")
    }

    fn of(&self, setting: Setting) -> String {
        if let Some((_, name)) = self.settings.iter().find(|(known, _)| *known == setting) {
            return name.clone();
        }
        match setting {
            Setting::HeadersFile => "headers_file".to_owned(),
            Setting::Roots => "SSL_CERT_FILE".to_owned(),
            Setting::Proxy => "the proxy variable (HTTPS_PROXY, HTTP_PROXY, or ALL_PROXY)".to_owned(),
            other => [env::OTEL_EXPORTER_OTLP, &other.name().to_ascii_uppercase()].concat(),
        }
    }

    /// The setting that holds the headers.
    fn headers(&self) -> String {
        let has_file = self.has_file(Setting::HeadersFile);
        self.of(if has_file { Setting::HeadersFile } else { Setting::Headers })
    }

    fn has_file(&self, setting: Setting) -> bool {
        self.files.iter().any(|(known, _)| *known == setting)
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
    use crate::upload::failure::tests::all_kinds;

    #[test]
    fn every_kind_has_one_sentence() {
        for kind in all_kinds() {
            let text = kind.text(&SettingNames::default());
            assert!(text.len() > 20 && !text.contains('\n') && !text.contains("  "), "{kind}: {text}");
        }
    }

    #[test]
    fn every_sentence_says_what_happens_to_the_runs() {
        let kinds = (300..600).map(FailureKind::Http).chain((1..=17).map(FailureKind::Grpc));
        for kind in all_kinds().into_iter().chain(kinds) {
            let text = kind.text(&SettingNames::default());
            let says = ["runs stay pending", "nothing is sent until it is", "is dropped and counted"];
            assert_eq!(says.iter().filter(|says| text.contains(**says)).count(), 1, "{kind}: {text}");
        }
    }
}
