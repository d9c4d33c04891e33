use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use proptest::prelude::*;

use tool_telemetry_definition::{DataPoint, DataPoints, Kind, OTHER, Version};

static ALL: LazyLock<Vec<&DataPoint>> = LazyLock::new(|| {
    let files = [
        include_str!("../../../../tests/data/telemetry.toml"),
        include_str!("../../../../examples/dotnet/telemetry.toml"),
    ];
    files.iter().flat_map(|text| DataPoints::parse(text).unwrap().data_points).collect()
});

/// Data points of each kind.
fn all() -> impl Iterator<Item = &'static DataPoint> {
    ALL.iter().copied()
}

fn data_point(key: &str) -> &'static DataPoint {
    all().find(|data_point| data_point.key == key).unwrap()
}

/// The text that is sent. `None` if the value is dropped.
fn rendered(data_point: &DataPoint, text: &str) -> Option<String> {
    let mut out = String::new();
    data_point.render(&data_point.admit_text(text)?, &mut out).unwrap();
    Some(out)
}

fn framework(text: &str) -> String {
    rendered(data_point("dotnet.target.framework"), text).unwrap()
}

/// Texts that point to a user, a machine, or a place.
fn personal() -> impl Strategy<Value = String> {
    let user = "[a-z]{3,12}";
    let first = prop::sample::select(vec!["Anna", "José", "Øystein", "Nguyễn", "李娜", "Мария", "Jean-Luc"]);
    let last = prop::sample::select(vec!["Meier", "O'Brien", "van den Berg", "Müller", "García", "王"]);
    prop_oneof![
        (first, prop::sample::select(vec![" ", ".", "-", "_", ", "]), last)
            .prop_map(|(first, between, last)| format!("{first}{between}{last}")),
        "[A-Z][a-z]{5,10} [A-Z][a-z]{5,10}",
        "[a-z]{1,8}\\.[a-z]{1,8}@[a-z]{1,10}\\.(com|org|dev)",
        "[a-z]{1,8}\\+[a-z0-9]{1,8}@[0-9]{1,3}\\.[0-9]{1,3}",
        user.prop_map(|user| format!("/home/{user}")),
        user.prop_map(|user| format!("/Users/{user}/src/secret.project")),
        user.prop_map(|user| format!("C:\\Users\\{user}\\AppData")),
        user.prop_map(|user| format!("~{user}/1.0.0")),
        "https?://[a-z]{1,8}:[a-z0-9]{1,8}@[a-z]{1,8}\\.(com|internal)(:[0-9]{2,5})?/[a-z0-9?=]{0,12}",
        "git@[a-z]{1,8}\\.com:[a-z]{1,8}/[a-z]{1,8}\\.git",
        "[a-z]{2,8}-(laptop|pc|mbp)(\\.local)?",
        "DESKTOP-[A-Z0-9]{7}",
        "[a-z0-9]{1,8}\\.[a-z]{2,8}\\.(com|local|corp)",
        any::<u32>().prop_map(|address| Ipv4Addr::from(address).to_string()),
        (any::<u32>(), any::<u16>())
            .prop_map(|(address, port)| format!("{}:{port}", Ipv4Addr::from(address))),
        any::<u128>().prop_map(|address| Ipv6Addr::from(address).to_string()),
        any::<u16>().prop_map(|address| format!("fe80::{address:x}")),
        "\\+[1-9][0-9]{6,14}",
        "\\+[1-9][0-9]{0,2} [0-9]{2,4} [0-9]{3,8}",
        any::<u128>().prop_map(guid),
        any::<u128>().prop_map(|bits| format!("{{{}}}", guid(bits))),
        any::<u128>().prop_map(|bits| format!("{bits:032x}")),
        "0?[1-9][0-9]{6,18}",
        // Five digits are a version. A 64-bit id has more.
        (1_u64 << 32..).prop_map(|id| id.to_string()),
        (1_u64 << 32..).prop_map(|id| format!("{id:x}")),
        (1_i64 << 32..).prop_map(|id| (-id).to_string()),
        "[0-9a-f]{2}(:[0-9a-f]{2}){5}",
    ]
}

fn guid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// The texts that a data point with a closed list can send.
fn listed(data_point: &DataPoint) -> Vec<&'static str> {
    match data_point.kind {
        Kind::Command(members) | Kind::Set(members) => members.iter().copied().chain([OTHER]).collect(),
        Kind::Bool => vec!["true", "false"],
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn personal_texts_are_not_sent(text in personal()) {
        for data_point in all() {
            let out = rendered(data_point, &text);
            prop_assert!(out.is_none() || out.as_deref() == Some(OTHER), "{}: {text:?} became {out:?}", data_point.key);
        }
    }

    /// In every place of a moniker and of a version.
    #[test]
    fn personal_texts_inside_monikers_and_versions_are_not_sent(text in personal()) {
        let version = data_point("frob.compiler_version");
        for known in [
            format!("net{text}"),
            format!("net{text}-windows"),
            format!("netcoreapp1.1-{text}"),
            format!("net8.0-windows{text}"),
            format!("{text}net8.0"),
        ] {
            prop_assert_eq!(framework(&known), OTHER, "{}", known);
        }
        for known in [format!("1.0.0-{text}"), format!("1.0.0+{text}"), format!("1.0.0-rc.{text}"), format!("1.0 {text}")] {
            prop_assert_eq!(rendered(version, &known).unwrap(), OTHER, "{}", known);
        }
    }

    #[test]
    fn a_closed_list_sends_only_its_members(text in any::<String>()) {
        for data_point in all() {
            let (out, listed) = (rendered(data_point, &text), listed(data_point));
            prop_assert!(listed.is_empty() || out.is_none_or(|out| listed.contains(&out.as_str())));
        }
    }

    /// The user and the receiver can check sent values by the same rule.
    #[test]
    fn rendered_values_are_admitted_again_unchanged(text in "(net|netcoreapp|WIN)?[0-9]{1,5}(\\.[0-9]{1,6}){0,3}(-(rc|beta|windows|x)\\.?[0-9]{0,3})?") {
        for data_point in all() {
            if let Some(out) = rendered(data_point, &text) {
                prop_assert_eq!(rendered(data_point, &out), Some(out), "{}", text);
            }
        }
    }

    #[test]
    fn the_longest_version_prefix_is_a_version(text in "[0-9]{1,6}(\\.[0-9]{1,6}){0,4}([-+.][a-z0-9.+-]{0,20})?") {
        if let Some(prefix) = Version::longest_prefix(&text) {
            prop_assert!(Version::parse(prefix).is_some() && text.starts_with(prefix), "{}: {}", text, prefix);
        }
    }

    #[test]
    fn numbers_out_of_the_range_are_dropped(number in any::<i64>()) {
        let admitted = |key: &str| data_point(key).admit_integer(number).is_some();
        prop_assert_eq!(admitted("frob.number"), (0..=1000).contains(&number));
        prop_assert_eq!(admitted("frob.color"), false);
        prop_assert_eq!(admitted("frob.compiler_version"), false);
        #[cfg(not(windows))]
        prop_assert_eq!(admitted("process.exit.code"), (0..=255).contains(&number));
    }
}

#[test]
fn a_range_includes_its_ends() {
    for (number, is_admitted) in [(-1, false), (0, true), (1000, true), (1001, false)] {
        assert_eq!(data_point("frob.number").admit_integer(number).is_some(), is_admitted, "{number}");
    }
}

#[test]
fn known_frameworks_are_sent_unchanged() {
    for text in [
        "net20",
        "net35",
        "net40",
        "net45",
        "net451",
        "net461",
        "netcoreapp1.0",
        "netcoreapp1.1",
        "netstandard1.3",
        "netstandard1.5",
        "netstandard1.6",
        "netstandardapp1.5",
        "netcore50",
        "dnx451",
        "dnxcore50",
        "dotnet5.4",
        "uap10.0",
        "win81",
        "wp8",
        "wpa81",
        "net8.0",
        "net8.0-windows",
        "net8.0-windows10.0.19041.0",
        "net9.0-maccatalyst",
    ] {
        assert_eq!(framework(text), text);
    }
}

#[test]
fn anything_but_prefix_version_and_suffix_is_other() {
    for text in [
        "",
        "net",
        "8.0",
        "-windows",
        "net-windows",
        "net8.0-",
        "net8.0-windows7.0",
        "net8.0-windows-windows",
        "net8.0.0.0",
        "net 8.0",
        "monoandroid90",
        "netfoo1.0",
        "xnet8.0",
        "net८.0",
        "net451x",
        "net123456",
    ] {
        assert_eq!(framework(text), OTHER, "{text:?}");
    }
}

#[test]
fn a_leading_zero_is_not_a_version() {
    for text in ["01", "1.00", "1.0.00", "1.0-rc.01", "00"] {
        assert_eq!(rendered(data_point("frob.compiler_version"), text).unwrap(), OTHER, "{text}");
        assert_eq!(framework(&format!("net{text}")), OTHER, "net{text}");
    }
    assert_eq!(rendered(data_point("frob.compiler_version"), "0.0.0").unwrap(), "0.0.0");
}

#[test]
fn ascii_case_and_surrounding_blanks_are_ignored() {
    assert_eq!(framework("NETCoreApp1.1"), "netcoreapp1.1");
    assert_eq!(framework("net8.0-Windows"), "net8.0-windows");
    assert_eq!(framework(" net45\n"), "net45");
    assert_eq!(rendered(data_point("dotnet.project.test_runner"), "xUnit").unwrap(), "xunit");
    assert_eq!(rendered(data_point("dotnet.command"), " BUILD ").unwrap(), "build");
    // The Kelvin sign, whose lower case is `k`.
    assert_eq!(rendered(data_point("frob.command"), "chec\u{212a}").unwrap(), OTHER);
}

#[test]
fn a_version_has_one_of_four_stages() {
    let version = |text: &str| rendered(data_point("frob.compiler_version"), text).unwrap();
    for (text, expected) in [
        ("1.0.0-alpha", "1.0.0-alpha"),
        ("1.0-beta2", "1.0-beta.2"),
        ("1-preview.10", "1-preview.10"),
        ("1.70.3-rc.1", "1.70.3-rc.1"),
        ("1.0-RC.1", OTHER),
        ("1.0-nightly", OTHER),
        ("1.0-rc.1.2", OTHER),
        ("1.0-rc.123456", OTHER),
        ("1.0--rc.1", OTHER),
        ("v1.0", OTHER),
        ("1.0.0+build", OTHER),
    ] {
        assert_eq!(version(text), expected, "{text}");
    }
}

#[test]
fn a_flag_is_true_or_false() {
    let flag = data_point("dotnet.project.runtimes");
    assert_eq!(flag.admit_text("true"), flag.admit_bool(true));
    assert_eq!(flag.admit_text("false"), flag.admit_bool(false));
    for text in ["True", "1", "yes", "", "true false"] {
        assert_eq!(flag.admit_text(text), None, "{text:?}");
    }
    assert_eq!(flag.admit_integer(1), None);
    assert_eq!(data_point("frob.number").admit_bool(true), None);
}
