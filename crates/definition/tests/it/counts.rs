use tool_telemetry_definition::{Count, DataPoints, ParseErrors, Period, compare, content_hash};

use crate::GOOD;

const COUNTS: &str = r#"
[publish]
period = "week"

[[count]]
of = ["dotnet.command", "error.type"]
at_most = 6

[[count]]
of = ["service.version"]
releases = ["1.0.0", "1.1.0-rc.1"]
at_most = 2

[[count]]
of = ["dotnet.command", "dotnet.framework"]
values = ["net8.0", "netcoreapp1.1"]
at_most = 4

[[count]]
of = ["process.exit.code"]
values = ["0", "1", "3221225786"]
at_most = 3
"#;

fn parse(counts: &str) -> Result<&'static DataPoints, ParseErrors> {
    DataPoints::parse(&format!("{GOOD}{counts}"))
}

fn good() -> &'static DataPoints {
    parse(COUNTS).unwrap()
}

/// A text in the counts, its replacement, which ends the line of the error with `# here`, and a part of the message.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str)] = &[
    ("\"week\"", "\"month\" # here", "`period` is \"month\"; use one of week, four weeks"),
    ("[publish]\nperiod = \"week\"", "[publish] # here", "`[publish]` has no `period`; add `period = \"week\"`"),
    ("\"week\"", "\"week\"\ndelta = 2 # here", "`[publish]` has an unknown key `delta`"),
    ("\"week\"", "\"week\"\nepsilon = 0.09 # here", "`epsilon` is 0.09; use 0.1 to 8"),
    ("\"week\"", "\"week\"\nepsilon = 9 # here", "`epsilon` is 9; use 0.1 to 8"),
    ("\"week\"", "\"week\"\nepsilon = nan # here", "`epsilon` is NaN; use 0.1 to 8"),
    ("\"week\"", "\"week\"\nepsilon = \"2\" # here", "`epsilon` is a string; it must be a number"),
    ("[publish]\nperiod = \"week\"\n\n[[count]]\n", "[[count]] # here\n", "`[[count]]` needs a period; add `[publish]`"),
    ("at_most = 6", "at_most = 6\nevery = 1 # here", "`[[count]]` has an unknown key `every`"),
    ("at_most = 6", "at_most = 0 # here", "`at_most` is 0; use 1 to 25"),
    ("at_most = 6", "at_most = 26 # here", "`at_most` is 26; use 1 to 25"),
    ("at_most = 3", "at_most = 14 # here", "`at_most` of all tables together is more than 25 from here on"),
    ("[[count]]\nof = [\"dotnet.command\", \"error.type\"]", "[[count]] # here", "has no `of`"),
    ("of = [\"dotnet.command\", \"error.type\"]", "of = [] # here", "`of` is empty"),
    ("of = [\"dotnet.command\", \"error.type\"]", "of = [\"dotnet.command\", \"dotnet.command\"] # here", "`of` lists \"dotnet.command\" twice"),
    ("of = [\"dotnet.command\", \"error.type\"]", "of = [\"dotnet.comand\"] # here", "`of` names \"dotnet.comand\", which is not a data point of this file"),
    ("of = [\"dotnet.command\", \"error.type\"]", "of = [\"telemetry.sdk.name\"] # here", "which is not a data point of this file"),
    ("of = [\"dotnet.command\", \"error.type\"]", "of = [\"dotnet.projects\"] # here", "which only operators receive"),
    ("[[count]]\nof = [\"process.exit.code\"]\nvalues = [\"0\", \"1\", \"3221225786\"]", "[[count]] # here\nof = [\"error.type\", \"dotnet.command\"]", "another `[[count]]` has the same keys"),
    ("at_most = 6", "at_most = 6\nreleases = [\"1.0\"] # here", "`releases` has no use here"),
    ("at_most = 6", "at_most = 6\nvalues = [\"build\"] # here", "`values` has no use here, because every data point in `of` has a closed list"),
    ("releases = [\"1.0.0\", \"1.1.0-rc.1\"]", "releases = [\"newest\"] # here", "\"newest\", which is not a version"),
    ("releases = [\"1.0.0\", \"1.1.0-rc.1\"]", "releases = [] # here", "`releases` is empty"),
    ("[[count]]\nof = [\"service.version\"]\nreleases = [\"1.0.0\", \"1.1.0-rc.1\"]", "[[count]] # here\nof = [\"service.version\"]", "has no `releases`; add `releases ="),
    ("values = [\"net8.0\", \"netcoreapp1.1\"]", "values = [\"net\"] # here", "\"net\", which dotnet.framework is never recorded as"),
    ("values = [\"net8.0\", \"netcoreapp1.1\"]", "values = [\"NET8.0\"] # here", "never recorded as; write it as it is sent"),
    ("values = [\"net8.0\", \"netcoreapp1.1\"]", "values = [\"other\"] # here", "never recorded as"),
    ("values = [\"0\", \"1\", \"3221225786\"]", "values = [\"00\"] # here", "never recorded as"),
    ("values = [\"0\", \"1\", \"3221225786\"]", "values = [\"0\", 1] # here", "an item of `values` is an integer; it must be a string"),
    ("of = [\"process.exit.code\"]", "of = [\"process.exit.code\", \"dotnet.framework\"] # here", "both have no closed list"),
];

#[test]
fn a_span_named_count_needs_another_name_where_installations_are_counted() {
    let good = GOOD.replace("\"phase\"", "\"count\"");
    assert_ne!(good, GOOD);
    DataPoints::parse(&good).unwrap();
    let errors = DataPoints::parse(&format!("{good}{COUNTS}")).unwrap_err().to_string();
    assert!(errors.contains("a span is named `count`"), "{errors}");
}

#[test]
fn each_error_names_the_line_and_the_remedy() {
    let mut wrong = Vec::new();
    for (from, to, words) in CASES {
        assert_eq!(COUNTS.matches(from).count(), 1, "{from:?} occurs once");
        let text = format!("{GOOD}{}", COUNTS.replace(from, to));
        let line = text.lines().position(|line| line.ends_with("# here")).map_or(1, |line| line + 1);
        let errors = DataPoints::parse(&text).expect_err(to);
        let is_expected = errors.iter().count() == 1
            && errors.iter().all(|error| error.line() == line && error.message().contains(words));
        if !is_expected {
            wrong.push(format!("{to:?}, line {line}: {errors}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_publication_without_a_count_is_an_error() {
    let errors = parse("[publish]\nperiod = \"week\"\n").unwrap_err();
    assert!(errors.to_string().contains("nothing is published without a `[[count]]`"), "{errors}");
}

#[test]
fn a_crossing_needs_one_span_with_all_its_data_points() {
    let two_spans =
        GOOD.replace("on = [\"target\"]\nsentence = \"Whether", "on = [\"other\"]\nsentence = \"Whether");
    let other = "[[span]]\nname = \"other\"\ntarget = \"dotnet\"\nsentence = 's'\nwhy = 'w'\naudience = 'maker'\n\
                 since = '1'\nuntil = 'never'\n";
    let count = "[publish]\nperiod = 'week'\n[[count]]\nof = ['dotnet.runtimes', 'dotnet.framework']\n\
                 values = ['net8.0']\nat_most = 1\n";
    assert!(DataPoints::parse(&format!("{GOOD}{count}")).is_ok(), "both are on one span");
    let errors = DataPoints::parse(&format!("{two_spans}{other}{count}")).unwrap_err();
    assert!(errors.to_string().contains("`of` crosses data points that no single span has"), "{errors}");
    assert_eq!(errors.iter().count(), 1, "{errors}");
}

#[test]
fn a_table_has_at_most_10_000_cells() {
    let text = |max: u32| {
        let integer = GOOD.replace("max = 9999", &format!("max = {max}"));
        let integer = integer.replace("on = [\"phase\"]", "on = [\"target\"]");
        let integer = integer
            .replace("audience = \"operator\"\nsince = \"1.0.0\"", "audience = \"maker\"\nsince = \"1.0.0\"");
        format!(
            "{integer}[publish]\nperiod = 'week'\n[[count]]\nof = ['dotnet.projects', 'dotnet.runtimes']\nat_most = 1\n"
        )
    };
    assert!(DataPoints::parse(&text(4_999)).is_ok());
    let errors = DataPoints::parse(&text(5_000)).unwrap_err();
    assert!(errors.to_string().contains("this table has 10002 cells"), "{errors}");
}

#[test]
fn counts_are_read() {
    assert_eq!((good().period, good().epsilon), (Some(Period::Week), 2.0));
    let weaker = parse(&COUNTS.replace("\"week\"", "\"week\"\nepsilon = 3")).unwrap();
    assert_eq!(weaker.epsilon, 3.0);
    let expected = Count { of: &["dotnet.command", "error.type"], at_most: 6, releases: &[], values: &[] };
    assert_eq!(good().counts[0], expected);
    assert_eq!(good().counts[1].releases, ["1.0.0", "1.1.0-rc.1"]);
    let none = DataPoints::parse(GOOD).unwrap();
    assert_eq!((none.period, none.counts), (None, &[][..]));
}

#[test]
fn a_value_outside_the_list_counts_as_other() {
    let [failed, versions, frameworks, codes] = good().counts else { panic!("four tables") };
    assert_eq!(failed.counted(good(), "dotnet.command", "other"), "other");
    assert_eq!(failed.counted(good(), "error.type", "cut_off"), "cut_off");
    assert_eq!(versions.counted(good(), "service.version", "1.0.0"), "1.0.0");
    assert_eq!(versions.counted(good(), "service.version", "6.6.6"), "other");
    assert_eq!(frameworks.counted(good(), "dotnet.command", "build"), "build");
    assert_eq!(frameworks.counted(good(), "dotnet.framework", "net9.0"), "other");
    assert_eq!(codes.counted(good(), "process.exit.code", "2"), "other");
}

#[test]
fn a_table_is_known_by_its_keys_in_any_order() {
    let count = good().counts[0];
    assert!(count.has_keys(["error.type", "dotnet.command"].into_iter()));
    for keys in [&["dotnet.command"][..], &["dotnet.command", "dotnet.command"], &["a", "b"], &[]] {
        assert!(!count.has_keys(keys.iter().copied()), "{keys:?}");
    }
}

#[test]
fn periods_begin_on_a_monday_in_utc() {
    const WEEK: u64 = 7 * 24 * 60 * 60;
    // 5 January 1970 and 23 November 2026.
    for monday in [345_600, 1_795_392_000] {
        assert_eq!(Period::Week.start(monday), monday);
        assert_eq!(Period::Week.start(monday + WEEK - 1), monday);
    }
    assert_eq!(Period::Week.start(0), 345_600);
    let four = Period::FourWeeks.start(1_795_392_000);
    assert_eq!((four - 345_600) % (4 * WEEK), 0);
    assert!((four..four + 4 * WEEK).contains(&1_795_392_000));
    assert_eq!(Period::FourWeeks.start(four + 4 * WEEK - 1), four);
    let _ = Period::Week.start(u64::MAX);
}

#[test]
fn a_change_of_a_count_is_reported() {
    let changed = |from: &str, to: &str| {
        assert_eq!(COUNTS.matches(from).count(), 1, "{from:?} occurs once");
        let new = parse(&COUNTS.replace(from, to)).unwrap();
        compare(good(), new).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let exit_codes =
        "[[count]]\nof = [\"process.exit.code\"]\nvalues = [\"0\", \"1\", \"3221225786\"]\nat_most = 3\n";
    assert_eq!(changed(exit_codes, ""), ["gone: count of `process.exit.code`"]);
    assert_eq!(
        changed("at_most = 6", "at_most = 7"),
        ["wider: count of `dotnet.command` and `error.type`, at_most 6 becomes 7"]
    );
    assert_eq!(
        changed("\"1.1.0-rc.1\"", "\"1.1.0\""),
        [
            "wider: count of `service.version`, `releases` gains 1.1.0",
            "narrower: count of `service.version`, `releases` loses 1.1.0-rc.1",
        ]
    );
    assert_eq!(
        changed("\"week\"", "\"four weeks\""),
        ["narrower: the publication, period week becomes four weeks"]
    );
    assert_eq!(
        changed("\"week\"", "\"week\"\nepsilon = 2.5"),
        ["wider: the publication, epsilon 2 becomes 2.5"]
    );
    let tool = compare(
        DataPoints::parse(GOOD).unwrap(),
        DataPoints::parse(&format!("tool = 'dotnet'\n{GOOD}")).unwrap(),
    );
    assert_eq!(
        tool.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["reworded: the tool, none becomes \"dotnet\""]
    );
    let added: Vec<_> =
        compare(DataPoints::parse(GOOD).unwrap(), good()).iter().map(|it| it.to_string()).collect();
    assert_eq!(added.len(), 4, "{added:?}");
    assert_eq!(added[0], "new: count of `dotnet.command` and `error.type`");
}

#[test]
fn the_content_hash_is_that_of_the_text_with_lf() {
    // `printf 'format = 1\n' | sha256sum`
    assert_eq!(DataPoints::parse("format = 1\n").unwrap().content_hash, HASH_OF_FORMAT_1);
    assert_eq!(DataPoints::parse("format = 1\r\n").unwrap().content_hash, HASH_OF_FORMAT_1);
    assert_ne!(content_hash("format = 1"), HASH_OF_FORMAT_1);
}

const HASH_OF_FORMAT_1: &str = "a1af1bccf46862c1ce45d1064094b00a";
