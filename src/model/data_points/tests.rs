use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

static FROB: DataPoints = crate::data_points!("tests/data/telemetry.toml");
static DOTNET: DataPoints = crate::data_points!("examples/dotnet/telemetry.toml");

/// Data points of each kind.
fn all() -> impl Iterator<Item = &'static DataPoint> {
    FROB.data_points.iter().chain(DOTNET.data_points)
}

fn data_point(key: &str) -> &'static DataPoint {
    all().find(|data_point| data_point.key == key).unwrap()
}

/// What is written of a text, or nothing if it is dropped.
fn rendered(data_point: &DataPoint, text: &str) -> Option<String> {
    let mut out = String::new();
    data_point.render(&data_point.admit_text(text)?, &mut out).unwrap();
    Some(out)
}

fn framework(text: &str) -> String {
    rendered(data_point("dotnet.target.framework"), text).unwrap()
}

/// What points to a person, a machine or a place.
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
        // Five digits are a version; an id of 64 bits has more.
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

/// What a closed list may come out as.
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
    fn nothing_personal_comes_out(text in personal()) {
        for data_point in all() {
            let out = rendered(data_point, &text);
            prop_assert!(out.is_none() || out.as_deref() == Some(OTHER), "{}: {text:?} became {out:?}", data_point.key);
        }
    }

    /// In all places of a moniker and of a version.
    #[test]
    fn nothing_personal_comes_out_of_what_looks_known(text in personal()) {
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
    fn any_text_comes_out_of_a_closed_list_as_a_member(text in any::<String>()) {
        for data_point in all() {
            let (out, listed) = (rendered(data_point, &text), listed(data_point));
            prop_assert!(listed.is_empty() || out.is_none_or(|out| listed.contains(&out.as_str())));
        }
    }

    /// So that a person, and the receiver, can check what was written by the same rule.
    #[test]
    fn what_comes_out_comes_out_again(text in "(net|netcoreapp|WIN)?[0-9]{1,5}(\\.[0-9]{1,6}){0,3}(-(rc|beta|windows|x)\\.?[0-9]{0,3})?") {
        for data_point in all() {
            if let Some(out) = rendered(data_point, &text) {
                prop_assert_eq!(rendered(data_point, &out), Some(out), "{}", text);
            }
        }
    }

    #[test]
    fn of_any_tools_version_only_a_version_is_told(text in "[0-9]{1,6}(\\.[0-9]{1,6}){0,4}([-+.][a-z0-9.+-]{0,20})?") {
        if let Some(told) = Version::beginning_of(&text) {
            prop_assert!(Version::parse(told).is_some() && text.starts_with(told), "{}: {}", text, told);
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
fn the_ends_of_a_range_belong_to_it() {
    for (number, is_admitted) in [(-1, false), (0, true), (1000, true), (1001, false)] {
        assert_eq!(data_point("frob.number").admit_integer(number).is_some(), is_admitted, "{number}");
    }
}

#[test]
fn the_monikers_of_the_projects_come_out_as_they_are() {
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
fn a_moniker_is_a_prefix_a_version_and_perhaps_a_suffix() {
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
fn a_zero_in_front_is_no_version() {
    for text in ["01", "1.00", "1.0.00", "1.0-rc.01", "00"] {
        assert_eq!(rendered(data_point("frob.compiler_version"), text).unwrap(), OTHER, "{text}");
        assert_eq!(framework(&format!("net{text}")), OTHER, "net{text}");
    }
    assert_eq!(rendered(data_point("frob.compiler_version"), "0.0.0").unwrap(), "0.0.0");
}

#[test]
fn the_case_and_the_blanks_around_make_no_difference() {
    assert_eq!(framework("NETCoreApp1.1"), "netcoreapp1.1");
    assert_eq!(framework("net8.0-Windows"), "net8.0-windows");
    assert_eq!(framework(" net45\n"), "net45");
    assert_eq!(rendered(data_point("dotnet.project.test_runner"), "xUnit").unwrap(), "xunit");
    assert_eq!(rendered(data_point("dotnet.command"), " BUILD ").unwrap(), "build");
    // Only of ASCII: the Kelvin sign is no `k`.
    assert_eq!(rendered(data_point("frob.command"), "chec\u{212a}").unwrap(), OTHER);
}

#[test]
fn a_stage_of_a_version_is_one_of_four() {
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

#[test]
fn the_tables_say_what_the_file_says() {
    let framework = FROB.data_points.iter().find(|data_point| data_point.key == "frob.framework").unwrap();
    assert_eq!(Some(framework.since), Version::parse("1.1.0-rc.1"));
    assert_eq!(framework.until, None);
    let version = data_point("frob.compiler_version");
    assert_eq!((version.audience, version.until), (Audience::Operator, Version::parse("2.0.0")));
    let input = &FROB.spans[1];
    assert_eq!((input.name, input.target, input.level), ("read_input", "frob::input", tracing::Level::DEBUG));
    let keys: Vec<_> =
        (input.data_points.iter()).map(|&position| FROB.data_points[usize::from(position)].key).collect();
    assert_eq!(keys, ["frob.compiler_version"]);
    let on_run: Vec<_> =
        (FROB.on_run.iter()).map(|&position| FROB.data_points[usize::from(position)].key).collect();
    assert_eq!(on_run, ["frob.command", "process.exit.code", "frob.color", "frob.verbose"]);
}

#[test]
fn a_span_is_known_by_its_name_and_where_it_comes_from() {
    assert_eq!(FROB.span("read_input", "frob::input"), Some(1));
    assert_eq!(FROB.span("read_input", "frob::input::lines"), Some(1));
    for (name, target) in
        [("read_input", "frob"), ("read_input", "frob::inputs"), ("read", "frob::input"), ("run", "frob")]
    {
        assert_eq!(FROB.span(name, target), None, "{name} of {target}");
    }
}
