//! Finds where a run goes. The destination is fixed when the run starts, and its settings all come from one source.

use super::endpoint::Endpoint;
use crate::env::{self, Environment, ModeOverride};
use crate::model::chooser::Chooser;
use crate::model::hex;

/// The destination of this process's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) chosen_by: Chooser,
    /// The machine's policy or `<TOOL>_TELEMETRY=otlp` set it, so it needs no notice of its own. The `OTEL_*` variables
    /// alone may be meant for the program that the user develops.
    pub(crate) is_set_for_us: bool,
    /// The tool's publisher, from its data points.
    pub(crate) publisher: Option<&'static str>,
    /// For HTTP, the whole address of the traces signal.
    pub(crate) endpoint: Endpoint,
    /// The other settings of the same source, by their names in [`env::OTLP_SETTINGS`].
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Settings that are ignored, and why.
    pub(crate) warnings: Vec<String>,
}

/// The endpoint that is set cannot be used, for the reason in the text. Nothing is recorded, and no other endpoint
/// takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidDestination(pub(crate) String);

/// The settings of the author and of the administrator.
#[derive(Debug, Clone, Default)]
pub(crate) struct DestinationSources {
    /// The author's endpoint.
    pub(crate) maker: Option<&'static str>,
    /// The publisher in the data points.
    pub(crate) publisher: Option<&'static str>,
    pub(crate) policy: Option<PolicyEndpoint>,
}

/// The endpoint in a policy and the settings that belong to it.
pub(crate) type PolicyEndpoint = (String, Vec<(&'static str, String)>);

/// The values of `PROTOCOL`.
pub(crate) const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];
/// The values of `COMPRESSION`.
pub(crate) const COMPRESSIONS: [&str; 2] = ["gzip", "none"];
/// The most characters of a publisher's name in a directory's name.
const MAX_PUBLISHER: usize = 40;
/// The longest name of a directory. Most file systems allow 255 bytes, and eCryptfs 143.
const MAX_DIRECTORY_NAME: usize = 143;

impl Destination {
    /// The name of its directory: who chose it, the publisher, and scheme, host, and port, for example
    /// `maker+example-tools+https-telemetry.example.com-443`. It never has a user, path, or query.
    ///
    /// A fork, a sold tool, or another tool of the same name has another directory, so it neither sends these runs nor
    /// counts their notice as seen.
    pub(crate) fn directory_name(&self) -> String {
        let mut name = String::from(self.chosen_by.name());
        name.push('+');
        if let Some(publisher) = self.publisher {
            push_publisher(&mut name, publisher);
            name.push('+');
        }
        name.push_str(&self.endpoint.directory_name());
        bounded(name)
    }

    /// Whether a directory belongs to this receiver, for any publisher.
    pub(crate) fn owns_directory(&self, name: &str) -> bool {
        let endpoint = name.rsplit_once('+').map(|(_, endpoint)| endpoint);
        Chooser::from_directory_name(name) == self.chosen_by
            && endpoint == Some(self.endpoint.directory_name().as_str())
    }

    /// Scheme, host, and port, as a user reads them.
    pub(crate) fn origin(&self) -> String {
        self.endpoint.origin()
    }

    /// Finds the destination. The policy's endpoint comes first, then the variables' unless the author set one, then
    /// the author's. `localhost:4318` is never assumed.
    pub(crate) fn find(
        environment: Environment<'_>,
        mode_override: ModeOverride,
        sources: &DestinationSources,
    ) -> Result<Option<Self>, InvalidDestination> {
        let publisher = sources.publisher;
        if let Some((address, settings)) = &sources.policy {
            let key = |setting: &str| format!("{} in the policy file", setting.to_ascii_lowercase());
            let found = Self::from_settings(publisher, address, settings.clone(), true, &key)?;
            return Ok(Some(Self { is_set_for_us: true, ..found }));
        }
        let is_uploader = environment.raw(env::UPLOADER).is_some();
        let prefixes: &[&str] = match is_uploader {
            true => &[env::UPLOADER_OTLP],
            false => &[env::OTEL_EXPORTER_OTLP_TRACES, env::OTEL_EXPORTER_OTLP],
        };
        let follows_variables = sources.maker.is_none() || mode_override == ModeOverride::Otlp || is_uploader;
        if follows_variables && let Some((variable, address)) = environment.otlp(prefixes, "ENDPOINT") {
            let settings = otlp_settings(environment, prefixes);
            let is_base = variable.strip_prefix(env::OTEL_EXPORTER_OTLP) == Some("ENDPOINT");
            let name = |setting: &str| {
                environment.otlp(prefixes, setting).map_or_else(|| setting.to_owned(), |(name, _)| name)
            };
            let found = Self::from_settings(publisher, &address, settings, is_base, &name)?;
            return Ok(Some(Self { is_set_for_us: mode_override == ModeOverride::Otlp, ..found }));
        }
        sources.maker.map(|address| Self::from_author(publisher, address)).transpose()
    }

    fn from_author(publisher: Option<&'static str>, address: &str) -> Result<Self, InvalidDestination> {
        let endpoint = Endpoint::parse(address, false, false)
            .and_then(|endpoint| match endpoint.is_https || endpoint.is_loopback() {
                true => Ok(endpoint),
                false => Err("must be an https address"),
            })
            .map_err(|why| InvalidDestination(format!("the author's endpoint {why}")))?;
        let (settings, warnings) = (Vec::new(), Vec::new());
        let chosen_by = Chooser::Maker;
        Ok(Self { chosen_by, is_set_for_us: false, publisher, endpoint, settings, warnings })
    }

    /// The destination of a policy or of variables. `is_base` means that the signal's path is added to the address.
    /// `name_of` names the variable or the key of a setting.
    fn from_settings(
        publisher: Option<&'static str>,
        address: &str,
        settings: Vec<(&'static str, String)>,
        is_base: bool,
        name_of: &dyn Fn(&str) -> String,
    ) -> Result<Self, InvalidDestination> {
        let setting =
            |wanted: &str| settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        let is_grpc = setting("PROTOCOL") == Some("grpc");
        let is_insecure = setting("INSECURE").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        // The address may hold credentials, so no message repeats it.
        let mut endpoint = Endpoint::parse(address, is_grpc, is_insecure).map_err(|why| {
            let name = name_of("ENDPOINT");
            InvalidDestination(format!("{name} {why}; nothing is recorded until it is corrected"))
        })?;
        if is_base && !is_grpc {
            endpoint.add_path("v1/traces");
        }
        let warnings = [
            ("PROTOCOL", "is not one of grpc, http/protobuf, and http/json; http/protobuf is used"),
            ("COMPRESSION", "is neither gzip nor none; none is used"),
            ("TIMEOUT", "is not a number of milliseconds above 0; 10000 is used"),
        ]
        .into_iter()
        .filter(|(name, _)| {
            setting(name).is_some_and(|value| match *name {
                "PROTOCOL" => !PROTOCOLS.contains(&value),
                "COMPRESSION" => !COMPRESSIONS.contains(&value),
                _ => !value.parse::<u32>().is_ok_and(|milliseconds| milliseconds > 0),
            })
        })
        .map(|(name, what)| format!("{} {what}", name_of(name)))
        .collect();
        let chosen_by = Chooser::Operator;
        Ok(Self { chosen_by, is_set_for_us: false, publisher, endpoint, settings, warnings })
    }
}

/// The settings that the variables set, except the endpoint.
fn otlp_settings(environment: Environment<'_>, prefixes: &[&str]) -> Vec<(&'static str, String)> {
    let settings = env::OTLP_SETTINGS.into_iter().filter(|setting| *setting != "ENDPOINT");
    settings
        .filter_map(|setting| {
            let (_, value) = environment.otlp(prefixes, setting)?;
            let is_path = env::OTLP_PATHS.contains(&setting);
            Some((setting, if is_path { env::absolute(value) } else { value }))
        })
        .collect()
}

/// Shortens a name that is too long, and ends it with a checksum of the whole. Two hosts could be chosen to have the same
/// checksum, but only with names longer than 80 characters.
fn bounded(name: String) -> String {
    if name.len() <= MAX_DIRECTORY_NAME {
        return name;
    }
    let checksum = hex::checksum(&name);
    let mut bounded = name;
    while bounded.len() + 1 + checksum.len() > MAX_DIRECTORY_NAME {
        bounded.pop();
    }
    format!("{bounded}~{checksum}")
}

/// Appends the name's ASCII letters and digits in lower case, with one `-` for anything between them. If this drops letters
/// that are not ASCII, or the end of the name, a checksum of the whole name follows.
fn push_publisher(text: &mut String, name: &str) {
    let start = text.len();
    let mut is_whole = name.chars().all(|character| character.is_ascii() || !character.is_alphanumeric());
    for character in name.chars() {
        match character {
            _ if text.len() - start == MAX_PUBLISHER => {
                is_whole = false;
                break;
            }
            character if character.is_ascii_alphanumeric() => text.push(character.to_ascii_lowercase()),
            _ if text.ends_with('-') || text.len() == start => {}
            _ => text.push('-'),
        }
    }
    text.truncate(text.trim_end_matches('-').len());
    if !is_whole {
        text.push('~');
        text.push_str(&hex::checksum(name));
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn find(
        variables: &[(&str, &str)],
        mode_override: ModeOverride,
        maker: Option<&'static str>,
    ) -> Result<Option<Destination>, InvalidDestination> {
        let look_up = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        Destination::find(
            Environment::new(&look_up),
            mode_override,
            &DestinationSources { maker, publisher: Some("Example & Sons, Ltd."), policy: None },
        )
    }

    fn found(
        variables: &[(&str, &str)],
        mode_override: ModeOverride,
        maker: Option<&'static str>,
    ) -> Destination {
        find(variables, mode_override, maker).expect("a usable one").expect("a destination")
    }

    #[test]
    fn different_publishers_have_different_directories() {
        let words = |name: &str| {
            let mut text = String::new();
            push_publisher(&mut text, name);
            text
        };
        assert_eq!(words("Example Tools, Inc."), words("example tools inc"));
        let of = "The Foundation for the Advancement of Command Lines ";
        for (one, other) in [
            ("株式会社甲", "株式会社乙"),
            ("Müller", "Möller"),
            (&*format!("{of}East"), &*format!("{of}West")),
        ] {
            assert_ne!(words(one), words(other));
        }
    }

    #[test]
    fn no_destination_is_assumed() {
        assert_eq!(find(&[], ModeOverride::None, None), Ok(None));
        assert_eq!(find(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], ModeOverride::None, None), Ok(None));
    }

    #[test]
    fn the_signal_path_is_added_only_to_a_base_address() {
        for (variable, value, address) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "http://c:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/", "http://c:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c/otlp", "http://c/otlp/v1/traces"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c/otlp/?k=1", "http://c/otlp/v1/traces?k=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318", "http://c:4318/"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/in", "http://c/in"),
        ] {
            assert_eq!(found(&[(variable, value)], ModeOverride::None, None).endpoint.address, address);
        }
    }

    #[test]
    fn a_tool_with_an_endpoint_ignores_otel_variables_unless_the_user_sets_otlp() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://service:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
        ];
        let maker = found(&variables, ModeOverride::None, Some("https://maker.example/v1/traces"));
        assert_eq!(maker.chosen_by, Chooser::Maker);
        assert_eq!(maker.directory_name(), "maker+example-sons-ltd+https-maker.example-443");
        assert!(maker.settings.is_empty());
        let operator = found(&variables, ModeOverride::Otlp, Some("https://maker.example/v1/traces"));
        assert_eq!(operator.directory_name(), "operator+example-sons-ltd+http-service-4318");
        assert_eq!(operator.settings, [("HEADERS", "authorization=Bearer%20x".to_owned())]);
    }

    #[test]
    fn the_authors_endpoint_is_https_or_loopback() {
        for (address, usable) in [
            ("https://maker.example", true),
            ("http://maker.example", false),
            ("http://127.0.0.1:4318/v1/traces", true),
            ("http://[::1]:4318/v1/traces", true),
            ("http://localhost.evil.example", false),
        ] {
            assert_eq!(find(&[], ModeOverride::None, Some(address)).is_ok(), usable, "{address}");
        }
    }

    #[test]
    fn a_directory_name_has_no_user_path_or_query() {
        let destination = found(
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://anna:secret@Collector.example/tenant?key=1")],
            ModeOverride::None,
            None,
        );
        assert_eq!(destination.directory_name(), "operator+example-sons-ltd+https-collector.example-443");
        assert_eq!(destination.origin(), "https://collector.example");
    }

    #[test]
    fn a_long_host_has_its_own_directory_with_a_short_name() {
        let host = |last: &str| format!("{}{last}", "abcdefghi.".repeat(24));
        let directory = |host: &str| {
            found(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://{host}"))], ModeOverride::None, None)
                .directory_name()
        };
        let (one, other) = (directory(&host("x.example")), directory(&host("y.example")));
        assert!(one.contains("+https-abcdefghi.abcdefghi.") && one.len() <= MAX_DIRECTORY_NAME, "{one}");
        assert_ne!(one, other);
        assert_eq!(one, directory(&host("x.example")));
    }

    #[test]
    fn a_host_name_over_the_dns_limit_is_refused_with_the_variables_name() {
        let long = "abcdefghi.".repeat(26);
        for host in [&long[..254], &"a".repeat(64)] {
            let address = format!("https://{host}");
            let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*address)];
            let InvalidDestination(why) = find(&variables, ModeOverride::None, None).expect_err(host);
            assert!(
                why.starts_with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a host that is longer"),
                "{why}"
            );
        }
        found(
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://{}", &long[..253]))],
            ModeOverride::None,
            None,
        );
    }

    #[test]
    fn relative_paths_start_at_the_tools_directory() {
        let here = std::env::current_dir().expect("a directory");
        let destination = found(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/key.pem"),
            ],
            ModeOverride::None,
            None,
        );
        let path = |path: &std::path::Path| path.to_str().expect("text").to_owned();
        assert_eq!(
            destination.settings,
            [("CERTIFICATE", path(&here.join("ca.pem"))), ("CLIENT_KEY", "/etc/key.pem".to_owned()),]
        );
    }

    #[test]
    fn an_invalid_endpoint_has_no_fallback() {
        for address in [
            "collector:4318",
            "ftp://c",
            "http://",
            "http://c:0",
            "http://c:99999",
            "http://a b",
            "http://../x",
        ] {
            let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", address)];
            let found = find(&variables, ModeOverride::Otlp, Some("https://maker.example"));
            assert!(found.is_err(), "{address}");
        }
    }

    #[test]
    fn a_grpc_address_may_have_no_scheme() {
        for (insecure, origin) in [("true", "http://c:4317"), ("yes", "https://c:4317")] {
            let variables = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
            ];
            assert_eq!(found(&variables, ModeOverride::None, None).origin(), origin);
        }
    }
}
