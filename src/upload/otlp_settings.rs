//! The OTLP settings of one destination, validated.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::percent_decode_str;

use crate::consent::destination::Destination;
use crate::platform;
use crate::upload::failure::{FailureKind, Setting, SettingError};

/// The settings of one destination, all from one source.
#[derive(Debug, Clone)]
pub(crate) struct OtlpSettings {
    /// For HTTP, the whole address of the traces signal. For gRPC, the scheme, host, and port.
    pub(crate) endpoint: String,
    pub(crate) protocol: Protocol,
    /// Names in lower case, and decoded values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) gzip: bool,
    /// For one request and its response.
    pub(crate) timeout: Duration,
    /// The PEM file of the roots to trust instead of the system's.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) client: Option<IdentityFiles>,
}

/// The PEM files of the client's certificate chain and key, for mutual TLS.
#[derive(Debug, Clone)]
pub(crate) struct IdentityFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The encodings and transports of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    HttpProtobuf,
    HttpJson,
    Grpc,
}

/// The default for one request and its response (OTLP exporter specification, "Configuration Options").
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// More than any list of headers. Servers usually accept 8 KiB.
const MAX_HEADERS_BYTES: u64 = 64 * 1024;

impl OtlpSettings {
    /// Reads the settings of a destination. An invalid protocol, compression, or timeout is ignored, and the destination
    /// warns about it. An invalid setting that must not be left out, such as a header, is an error.
    pub(crate) fn of(destination: &Destination) -> Result<Self, FailureKind> {
        let setting = |wanted: &str| {
            destination.settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
        };
        let path = |wanted: &str, kind| {
            let path = setting(wanted).map(PathBuf::from);
            match path {
                Some(path) if path.is_relative() => Err(FailureKind::Settings(kind, SettingError::Relative)),
                path => Ok(path),
            }
        };
        let client = match (
            path("CLIENT_CERTIFICATE", Setting::ClientCertificate)?,
            path("CLIENT_KEY", Setting::ClientKey)?,
        ) {
            (Some(certificate), Some(key)) => Some(IdentityFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(FailureKind::Settings(Setting::ClientCertificate, SettingError::Alone));
            }
            (None, Some(_)) => return Err(FailureKind::Settings(Setting::ClientKey, SettingError::Alone)),
        };
        let mut headers = match (setting("HEADERS"), path("HEADERS_FILE", Setting::HeadersFile)?) {
            (Some(text), _) => {
                parse_headers(text, false).map_err(|error| FailureKind::Settings(Setting::Headers, error))?
            }
            (None, Some(file)) => read_file(&file, MAX_HEADERS_BYTES)
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| SettingError::NotText))
                .and_then(|text| parse_headers(&text, true))
                .map_err(|error| FailureKind::Settings(Setting::HeadersFile, error))?,
            (None, None) => Vec::new(),
        };
        let (endpoint, credentials) = split_credentials(&destination.endpoint.address);
        if let Some(credentials) = credentials
            && !headers.iter().any(|(name, _)| name == AUTHORIZATION)
        {
            headers.push((AUTHORIZATION.to_owned(), credentials));
        }
        Ok(Self {
            endpoint,
            protocol: match setting("PROTOCOL") {
                Some("grpc") => Protocol::Grpc,
                Some("http/json") => Protocol::HttpJson,
                _ => Protocol::HttpProtobuf,
            },
            headers,
            gzip: setting("COMPRESSION") == Some("gzip"),
            timeout: setting("TIMEOUT")
                .and_then(|milliseconds| milliseconds.parse::<u32>().ok())
                // Elsewhere, 0 means no limit. An uploader always has one.
                .filter(|milliseconds| *milliseconds > 0)
                .map_or(DEFAULT_TIMEOUT, |milliseconds| Duration::from_millis(milliseconds.into())),
            certificate: path("CERTIFICATE", Setting::Certificate)?,
            client,
        })
    }
}

const AUTHORIZATION: &str = "authorization";

/// Headers about the body or the connection, which cannot be set.
const RESERVED: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Parses `name=value,name=value` and percent-decodes the values (OTLP exporter specification, "Specifying headers via
/// environment variables"). A file may also hold one header per line. `Name: value` is accepted too, because a name
/// contains neither sign. One invalid header makes all invalid, so that no request is sent without its credentials.
fn parse_headers(text: &str, is_file: bool) -> Result<Vec<(String, String)>, SettingError> {
    let text = text.trim();
    if text.contains('\u{fffd}') {
        return Err(SettingError::NotText);
    }
    if text.starts_with(['{', '[']) {
        return Err(SettingError::Json);
    }
    if !is_file && text.contains(['\n', '\r']) {
        return Err(SettingError::LineBreak);
    }
    let headers: Vec<_> = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|header| !header.is_empty())
        .map(parse_header)
        .collect::<Result<_, _>>()?;
    if headers.is_empty() { Err(SettingError::NoHeader) } else { Ok(headers) }
}

fn parse_header(header: &str) -> Result<(String, String), SettingError> {
    if header.starts_with(['"', '\'']) {
        return Err(SettingError::Quoted);
    }
    let (name, value) = header.split_once(['=', ':']).ok_or(SettingError::NoValue)?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_token = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token {
        return Err(SettingError::BadName);
    }
    if RESERVED.contains(&&*name) {
        return Err(SettingError::Reserved);
    }
    if value.starts_with('"') || (value.len() > 1 && value.starts_with('\'') && value.ends_with('\'')) {
        return Err(SettingError::Quoted);
    }
    let value = percent_decode_str(value).decode_utf8().map_err(|_| SettingError::NotText)?;
    let is_value = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if is_value { Ok((name, value.into_owned())) } else { Err(SettingError::BadValue) }
}

/// Splits an address into the part without user and password, and the value of `Authorization` (RFC 7617).
fn split_credentials(address: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = address.split_once("://") else { return (address.to_owned(), None) };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let Some((credentials, _)) = authority.rsplit_once('@') else { return (address.to_owned(), None) };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut decoded: Vec<u8> = percent_decode_str(user).collect();
    decoded.push(b':');
    decoded.extend(percent_decode_str(password));
    let value = (!credentials.is_empty()).then(|| format!("Basic {}", BASE64_STANDARD.encode(decoded)));
    (format!("{scheme}://{}", &rest[credentials.len() + 1..]), value)
}

/// Reads a file that a setting names. It never blocks, and it reads at most `limit` bytes.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, SettingError> {
    let setting_error = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SettingError::Missing,
        io::ErrorKind::PermissionDenied => SettingError::Forbidden,
        io::ErrorKind::InvalidInput => SettingError::NotAFile,
        _ => SettingError::Unreadable,
    };
    let file = platform::open_regular(path).map_err(setting_error)?;
    let mut bytes = Vec::new();
    let length = file.take(limit + 1).read_to_end(&mut bytes).map_err(setting_error)?;
    if length as u64 > limit { Err(SettingError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn headers_are_percent_decoded() {
        let wanted = [header("authorization", "Bearer a=b"), header("x", "")];
        assert_eq!(parse_headers("authorization=Bearer%20a=b, x=,,", false).as_deref(), Ok(&wanted[..]));
    }

    #[test]
    fn headers_in_http_syntax_are_accepted() {
        let wanted = [header("authorization", "Basic dTpw=="), header("x-a", "b:c")];
        assert_eq!(parse_headers("Authorization: Basic dTpw==,X-A=b:c", false).as_deref(), Ok(&wanted[..]));
        assert_eq!(
            parse_headers("Authorization: Basic dTpw==\r\n\nX-A=b:c\n", true).as_deref(),
            Ok(&wanted[..])
        );
    }

    #[test]
    fn one_invalid_header_makes_all_invalid() {
        use SettingError::*;

        for (text, error) in [
            ("", NoHeader),
            (",,", NoHeader),
            ("a=b,secret", NoValue),
            ("a=b\nc=d", LineBreak),
            ("a b=c", BadName),
            ("=c", BadName),
            ("a=b%0Ac", BadValue),
            ("a=\u{e9}", BadValue),
            ("a=b%FF", NotText),
            ("a=\u{fffd}", NotText),
            ("\"a=b\"", Quoted),
            ("'a=b'", Quoted),
            ("a=\"b\"", Quoted),
            ("a='b'", Quoted),
            ("{\"a\": \"b\"}", Json),
            ("Content-Type=x", Reserved),
            ("te=x", Reserved),
        ] {
            assert_eq!(parse_headers(text, false), Err(error), "{text}");
        }
        assert_eq!(parse_headers("a=%22b%22", false).as_deref(), Ok(&[header("a", "\"b\"")][..]));
    }

    #[test]
    fn credentials_in_the_address_are_decoded_once() {
        for (address, endpoint, credentials) in [
            ("https://c:4318/v1/traces", "https://c:4318/v1/traces", None),
            ("https://c/a@b", "https://c/a@b", None),
            ("https://u:p@c/x?y#z", "https://c/x?y#z", Some("Basic dTpw")),
            // u@x:p/%, encoded.
            ("https://u%40x:p%2F%25@c", "https://c", Some("Basic dUB4OnAvJQ==")),
            ("https://token@c", "https://c", Some("Basic dG9rZW46")),
            ("https://@c", "https://c", None),
        ] {
            assert_eq!(split_credentials(address), (endpoint.to_owned(), credentials.map(str::to_owned)));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        assert_eq!(read_file(&path, 3), Err(SettingError::Missing));
        std::fs::write(&path, "abc").expect("a file");
        assert_eq!(read_file(&path, 3), Ok(b"abc".to_vec()));
        assert_eq!(read_file(&path, 2), Err(SettingError::TooLarge));
        assert_eq!(read_file(&path.join("x"), 3), Err(SettingError::Missing));
        for other in [directory.path(), Path::new("/dev/zero")] {
            assert_eq!(read_file(other, 3), Err(SettingError::NotAFile), "{}", other.display());
        }
    }
}
