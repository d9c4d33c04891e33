//! Where a run goes: fixed when it starts, and one set of settings that never mixes two sources.

use crate::env::{self, Environment, ModeOverride};
use crate::model::chosen_by::ChosenBy;

/// The destination of this process's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) chosen_by: ChosenBy,
    /// The machine's policy or `<TOOL>_TELEMETRY=otlp` chose it, so that it needs no notice of its own. The `OTEL_*`
    /// variables alone may have been set for the program that is being developed.
    pub(crate) is_set_for_us: bool,
    /// Who publishes the tool, as its data points say.
    pub(crate) publisher: Option<&'static str>,
    /// Where requests go. For HTTP the whole address of the traces signal.
    pub(crate) endpoint: Endpoint,
    /// The other settings of the same source, by their names in [`env::OTLP_SETTINGS`].
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Settings that were ignored, and why.
    pub(crate) warnings: Vec<String>,
}

/// The values of `PROTOCOL`.
pub(crate) const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];
/// The values of `COMPRESSION`.
pub(crate) const COMPRESSIONS: [&str; 2] = ["gzip", "none"];

/// Whether a text is an endpoint that can be used.
pub(crate) fn is_address(address: &str, is_grpc: bool) -> bool {
    Endpoint::parse(address, is_grpc, false).is_ok()
}

/// Letters of a publisher's name in a directory's name.
const LONGEST_PUBLISHER: usize = 40;

/// An address, taken apart as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// As it is used, the path included.
    pub(crate) address: String,
    https: bool,
    /// Lower case; an IPv6 address without its brackets.
    host: String,
    port: u16,
}

/// The longest name of a directory. File systems take 255 bytes, eCryptfs 143.
const LONGEST_DIRECTORY_NAME: usize = 143;

/// A directory's name as it is or, if it is too long, its beginning and a checksum of all of it. Somebody could make a
/// second name with the same checksum, if the host that he has in mind is longer than 80 characters.
fn bounded(name: String) -> String {
    if name.len() <= LONGEST_DIRECTORY_NAME {
        return name;
    }
    let checksum = crate::model::hex::checksum(&name);
    let mut bounded = name;
    while bounded.len() + 1 + checksum.len() > LONGEST_DIRECTORY_NAME {
        bounded.pop();
    }
    format!("{bounded}~{checksum}")
}

/// An endpoint was named that cannot be used: nothing is recorded, and nothing goes anywhere else instead. It says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidDestination(pub(crate) String);

/// What the author and the administrator named.
#[derive(Debug, Clone, Default)]
pub(crate) struct DestinationSources {
    /// The author's endpoint.
    pub(crate) maker: Option<&'static str>,
    /// The publisher whom the data points name.
    pub(crate) publisher: Option<&'static str>,
    /// The policy's endpoint, and the settings that go with it.
    pub(crate) policy: Option<(String, Vec<(&'static str, String)>)>,
}

impl Destination {
    /// The name of its directory: who chose it, the publisher, and scheme, host and port, as in
    /// `maker+example-tools+https-telemetry.example.com-443`. Never a user, a path or a query.
    ///
    /// It is one receiver: a fork, a sold tool, or another tool of the same name has another directory, and so
    /// neither sends these runs nor counts their notice as shown.
    pub(crate) fn directory_name(&self) -> String {
        let mut name = String::from(self.chosen_by.name());
        name.push('+');
        if let Some(publisher) = self.publisher {
            push_words(&mut name, publisher);
            name.push('+');
        }
        name.push_str(&self.endpoint.origin("-"));
        bounded(name)
    }

    /// Whether this is the receiver of an operator's directory, whoever publishes the tool.
    pub(crate) fn is_in(&self, folder: &str) -> bool {
        let origin = folder.rsplit_once('+').map(|(_, origin)| origin);
        ChosenBy::from_directory_name(folder) == self.chosen_by
            && origin == Some(self.endpoint.origin("-").as_str())
    }

    /// How people read it: scheme and host, and the port unless it is the scheme's own.
    pub(crate) fn origin(&self) -> String {
        let origin = self.endpoint.origin("://");
        let own_port = if self.endpoint.https { ":443" } else { ":80" };
        origin.strip_suffix(own_port).map_or_else(|| origin.clone(), str::to_owned)
    }

    /// Finds the destination: the policy's; else, unless the author named one of his own, the variables'; else
    /// the maker's. `localhost:4318` is never assumed.
    pub(crate) fn find(
        environment: Environment<'_>,
        mode_override: ModeOverride,
        named: &DestinationSources,
    ) -> Result<Option<Self>, InvalidDestination> {
        let mut found = Self::look_up(environment, mode_override, named)?;
        if let Some(destination) = &mut found {
            let is_operators = destination.chosen_by == ChosenBy::Operator;
            destination.is_set_for_us =
                is_operators && (named.policy.is_some() || mode_override == ModeOverride::Otlp);
        }
        Ok(found)
    }

    fn look_up(
        environment: Environment<'_>,
        mode_override: ModeOverride,
        named: &DestinationSources,
    ) -> Result<Option<Self>, InvalidDestination> {
        if let Some((address, settings)) = &named.policy {
            let key = |setting: &str| format!("{} in the policy file", setting.to_ascii_lowercase());
            return Self::operator(named.publisher, address, settings.clone(), true, &key);
        }
        let variables: &[&str] = match environment.raw(env::UPLOADER) {
            Some(_) => &[env::UPLOADER_OTLP],
            None => &[env::OTEL_EXPORTER_OTLP_TRACES, env::OTEL_EXPORTER_OTLP],
        };
        let follows_variables = named.maker.is_none()
            || mode_override == ModeOverride::Otlp
            || environment.raw(env::UPLOADER).is_some();
        if follows_variables && let Some((variable, address)) = environment.otlp(variables, "ENDPOINT") {
            let settings = env::OTLP_SETTINGS
                .into_iter()
                .filter(|setting| *setting != "ENDPOINT")
                .filter_map(|setting| {
                    let (_, value) = environment.otlp(variables, setting)?;
                    let is_path = env::OTLP_PATHS.contains(&setting);
                    Some((setting, if is_path { env::absolute(value) } else { value }))
                })
                .collect();
            let is_base = variable.strip_prefix(env::OTEL_EXPORTER_OTLP) == Some("ENDPOINT");
            let name = |setting: &str| {
                environment.otlp(variables, setting).map_or_else(|| setting.to_owned(), |(name, _)| name)
            };
            return Self::operator(named.publisher, &address, settings, is_base, &name);
        }
        let unusable = |why| Err(InvalidDestination(why));
        let Some(address) = named.maker else {
            return Ok(None);
        };
        match Endpoint::parse(address, false, false) {
            Ok(endpoint) if endpoint.https || endpoint.is_loopback() => Ok(Some(Self {
                chosen_by: ChosenBy::Maker,
                is_set_for_us: false,
                publisher: named.publisher,
                endpoint,
                settings: Vec::new(),
                warnings: Vec::new(),
            })),
            Ok(_) => unusable("the maker's endpoint must be an https address".to_owned()),
            Err(why) => unusable(format!("the maker's endpoint {why}")),
        }
    }

    /// `is_base`: the address is a base to which the signal's path is added. `name_of` tells where a setting is set.
    fn operator(
        publisher: Option<&'static str>,
        address: &str,
        settings: Vec<(&'static str, String)>,
        is_base: bool,
        name_of: &dyn Fn(&str) -> String,
    ) -> Result<Option<Self>, InvalidDestination> {
        let setting =
            |wanted: &str| settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        let grpc = setting("PROTOCOL") == Some("grpc");
        let insecure = setting("INSECURE").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mut endpoint = match Endpoint::parse(address, grpc, insecure) {
            Ok(endpoint) => endpoint,
            // The value may hold credentials: it is not repeated.
            Err(why) => {
                return Err(InvalidDestination(format!(
                    "{} {why}; nothing is recorded until it is one",
                    name_of("ENDPOINT")
                )));
            }
        };
        if is_base && !grpc {
            endpoint.add_path("v1/traces");
        }
        let warnings = [
            ("PROTOCOL", "is not one of grpc, http/protobuf and http/json; http/protobuf is used"),
            ("COMPRESSION", "is neither gzip nor none; none is used"),
            ("TIMEOUT", "is no number of milliseconds above 0; 10000 is used"),
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
        let chosen_by = ChosenBy::Operator;
        Ok(Some(Self { chosen_by, is_set_for_us: false, publisher, endpoint, settings, warnings }))
    }
}

/// Adds a name's letters and digits in lower case, with one `-` for whatever stands between them; and, where other
/// letters or more of them make it the name that it is, a checksum of all of it.
fn push_words(text: &mut String, name: &str) {
    let start = text.len();
    let is_known = |character: char| character.is_ascii_alphanumeric();
    let mut is_whole = !name.chars().any(|character| character.is_alphanumeric() && !is_known(character));
    for character in name.chars() {
        match character {
            _ if text.len() - start == LONGEST_PUBLISHER => {
                is_whole = false;
                break;
            }
            character if is_known(character) => text.push(character.to_ascii_lowercase()),
            _ if text.ends_with('-') || text.len() == start => {}
            _ => text.push('-'),
        }
    }
    let end = text.trim_end_matches('-').len();
    text.truncate(end);
    if !is_whole {
        text.push('~');
        text.push_str(&crate::model::hex::checksum(name));
    }
}

impl Endpoint {
    /// Reads `http://host[:port][/path]` or https. gRPC also has addresses without a scheme; `insecure` then
    /// says which one is meant.
    ///
    /// # Errors
    ///
    /// Says what the address is not, to stand behind its name.
    pub(crate) fn parse(address: &str, grpc: bool, insecure: bool) -> Result<Self, &'static str> {
        const NO_ADDRESS: &str = "is not an http or https address";

        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None if grpc => ((if insecure { "http" } else { "https" }).to_owned(), address),
            None => return Err(NO_ADDRESS),
        };
        let https = match scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(NO_ADDRESS),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = Self::split_port(host_and_port).ok_or(NO_ADDRESS)?;
        // RFC 1035, 2.3.4; a final dot does not count.
        let name = host.strip_suffix('.').unwrap_or(host);
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return Err("names a host that is longer than a name can be (253 characters, 63 between dots)");
        }
        let port = match port {
            None | Some("") if https => 443,
            None | Some("") => 80,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(NO_ADDRESS)?,
        };
        let tail = if tail.starts_with('/') || grpc { tail.to_owned() } else { format!("/{tail}") };
        Ok(Self {
            address: format!("{scheme}://{authority}{tail}"),
            https,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// The host, without the brackets of an IPv6 address, and the port.
    fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
        if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            return Some((host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) }));
        }
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_name = !host.is_empty()
            && !host.starts_with('.')
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        is_name.then_some((host, port))
    }

    #[cfg(any(feature = "http", feature = "grpc"))]
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// Where TLS is spoken.
    #[cfg(any(feature = "http", feature = "grpc"))]
    pub(crate) fn https_host_and_port(&self) -> Option<(String, u16)> {
        self.https.then(|| (self.host.clone(), self.port))
    }

    fn add_path(&mut self, path: &str) {
        let end = self.address.find(['?', '#']).unwrap_or(self.address.len());
        let slash = if self.address[..end].ends_with('/') { "" } else { "/" };
        self.address.insert_str(end, &format!("{slash}{path}"));
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// In a file's name the colons of an IPv6 address become `~`, which no name of a host has.
    fn origin(&self, separator: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let is_ipv6 = self.host.contains(':');
        if separator == "-" {
            let host = self.host.replace(':', "~");
            format!("{scheme}-{host}-{}", self.port)
        } else if is_ipv6 {
            format!("{scheme}{separator}[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}{separator}{}:{}", self.host, self.port)
        }
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
    fn publishers_of_different_names_have_different_directories() {
        let words = |name: &str| {
            let mut text = String::new();
            push_words(&mut text, name);
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
    fn nothing_is_ever_assumed() {
        assert_eq!(find(&[], ModeOverride::None, None), Ok(None));
        assert_eq!(find(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], ModeOverride::None, None), Ok(None));
    }

    #[test]
    fn the_signal_path_is_added_to_a_base_only() {
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
    fn a_maker_with_an_endpoint_does_not_follow_the_variables_unless_asked() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://service:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
        ];
        let maker = found(&variables, ModeOverride::None, Some("https://maker.example/v1/traces"));
        assert_eq!(maker.chosen_by, ChosenBy::Maker);
        assert_eq!(maker.directory_name(), "maker+example-sons-ltd+https-maker.example-443");
        assert!(maker.settings.is_empty());
        let operator = found(&variables, ModeOverride::Otlp, Some("https://maker.example/v1/traces"));
        assert_eq!(operator.directory_name(), "operator+example-sons-ltd+http-service-4318");
        assert_eq!(operator.settings, [("HEADERS", "authorization=Bearer%20x".to_owned())]);
    }

    #[test]
    fn the_maker_gets_https_only_except_on_loopback() {
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
    fn on_disk_a_destination_has_no_user_path_or_query() {
        let destination = found(
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://anna:secret@Collector.example/tenant?key=1")],
            ModeOverride::None,
            None,
        );
        assert_eq!(destination.directory_name(), "operator+example-sons-ltd+https-collector.example-443");
        assert_eq!(destination.origin(), "https://collector.example");
    }

    #[test]
    fn a_long_host_has_a_directory_of_its_own_with_a_name_that_every_file_system_takes() {
        let host = |last: &str| format!("{}{last}", "abcdefghi.".repeat(24));
        let folder = |host: &str| {
            found(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://{host}"))], ModeOverride::None, None)
                .directory_name()
        };
        let (one, other) = (folder(&host("x.example")), folder(&host("y.example")));
        assert!(one.contains("+https-abcdefghi.abcdefghi.") && one.len() <= LONGEST_DIRECTORY_NAME, "{one}");
        assert_ne!(one, other);
        assert_eq!(one, folder(&host("x.example")));
    }

    #[test]
    fn a_host_that_is_longer_than_a_name_can_be_is_refused_by_the_variables_name() {
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
    fn relative_paths_are_those_of_the_tool() {
        let here = std::env::current_dir().expect("a folder");
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
    fn an_address_that_cannot_be_used_is_nowhere_else_instead() {
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
    fn grpc_takes_an_address_without_a_scheme() {
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
