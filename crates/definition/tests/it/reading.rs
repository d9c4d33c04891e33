use tool_telemetry_definition::{Audience, DataPoint, DataPoints, Kind, Level, Version};

use crate::GOOD;

fn good() -> &'static DataPoints {
    DataPoints::parse(GOOD).unwrap()
}

fn kind(key: &str) -> Kind {
    good().data_points.iter().find(|data_point| data_point.key == key).unwrap().kind
}

#[test]
fn the_publisher_is_read() {
    let publisher = good().publisher.unwrap();
    assert_eq!(publisher.name, "Example Tools");
    assert_eq!(publisher.contact, "privacy@example.com");
    assert_eq!(publisher.privacy, "https://example.com/privacy");
    assert_eq!(publisher.retention_days, 365);
    assert_eq!(publisher.licence, "CC-BY-4.0");
    assert_eq!(publisher.published_at, None);
    let published =
        GOOD.replace("licence =", "published_at = \"https://example.com/usage/?tool=frob\"\nlicence =");
    let publisher = DataPoints::parse(&published).unwrap().publisher.unwrap();
    assert_eq!(publisher.published_at, Some("https://example.com/usage/?tool=frob"));
}

#[test]
fn a_span_is_read() {
    let span = good().spans[0];
    assert_eq!((span.name, span.target), ("target", "dotnet::build"));
    assert_eq!((span.level, span.audience), (Level::Debug, Audience::Maker));
    assert_eq!((span.sentence, span.why), ("Each framework that is built", "Span's why."));
    assert_eq!((Some(span.since), span.until), (Version::parse("1.0.0"), Version::parse("2.0.0")));
}

#[test]
fn the_default_level_is_info_and_never_is_no_version() {
    let span = good().spans[1];
    assert_eq!((span.level, span.until), (Level::Info, None));
    assert_eq!(span.since.to_string(), "1.0.0-rc.1");
}

#[test]
fn each_kind_is_read() {
    assert_eq!(kind("dotnet.runtimes"), Kind::Bool);
    assert_eq!(kind("dotnet.projects"), Kind::Integer { min: 0, max: 9999 });
    assert_eq!(kind("process.exit.code"), Kind::ExitCode);
    assert_eq!(kind("dotnet.command"), Kind::Command(&["build", "test"]));
    assert_eq!(kind("dotnet.runner"), Kind::Set(&["xunit", "mstest"]));
    assert_eq!(kind("dotnet.compiler"), Kind::Version);
    let framework = Kind::Moniker { prefixes: &["net", "netcoreapp"], suffixes: &["-windows"] };
    assert_eq!(kind("dotnet.framework"), framework);
    for name in Kind::NAMES {
        assert!(good().data_points.iter().any(|data_point| data_point.kind.name() == name), "{name}");
    }
}

#[test]
fn the_run_and_each_span_know_their_data_points() {
    let keys =
        |positions| good().at(positions).map(|data_point: &DataPoint| data_point.key).collect::<Vec<_>>();
    assert_eq!(keys(good().on_run), ["dotnet.command", "process.exit.code", "dotnet.runner"]);
    let on_target = ["dotnet.framework", "dotnet.runner", "dotnet.runtimes", "dotnet.compiler"];
    assert_eq!(keys(good().spans[0].data_points), on_target);
    assert_eq!(keys(good().spans[1].data_points), ["dotnet.projects", "dotnet.compiler"]);
}

#[test]
fn optional_keys_may_be_missing() {
    let without_publisher = format!("format = 1\n{}", &GOOD[GOOD.find("[[span]]").unwrap()..]);
    assert_eq!(DataPoints::parse(&without_publisher).unwrap().publisher, None);
    let without_suffixes = GOOD.replace("suffixes = [\"-windows\"]\n", "");
    assert!(DataPoints::parse(&without_suffixes).is_ok());
}

#[test]
fn the_same_span_name_may_come_from_two_targets() {
    let text =
        GOOD.replace("name = \"phase\"\ntarget = \"dotnet\"", "name = \"target\"\ntarget = \"msbuild\"");
    let text = text.replace("\"phase\"", "\"target\"").replace("[\"target\", \"target\"]", "[\"target\"]");
    assert_eq!(DataPoints::parse(&text).unwrap().spans.len(), 2);
}

#[test]
fn versions_have_an_order() {
    let versions = [
        "1.0.0-alpha",
        "1-alpha.2",
        "1.0-beta1",
        "1-preview.9",
        "1-preview.10",
        "1-rc",
        "1.0",
        "1.0.1",
        "1.10",
    ];
    let parsed: Vec<Version> = versions.iter().map(|text| Version::parse(text).unwrap()).collect();
    assert!(parsed.is_sorted_by(|a, b| a < b), "{parsed:?}");
    assert_eq!(Version::parse("1"), Version::parse("1.0.0"));
    for text in
        ["", "1.", "01", "1.0.0.0", "123456", "1.0-", "1.0-rc.", "1.0-rc.01", "1.0-anna", "1.0-rc.1.1", "v1"]
    {
        assert_eq!(Version::parse(text), None, "{text:?}");
    }
}
