use tool_telemetry_definition::standard::{self, STANDARD};
use tool_telemetry_definition::{Audience, DataPoint, DataPoints, Kind, Version};

fn parse(text: &str) -> &'static DataPoints {
    DataPoints::parse(&format!("format = 1\n{text}")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    DataPoints::parse(&format!("format = 1\n{text}")).expect_err("an error").to_string()
}

fn data_point(data_points: &DataPoints, key: &str) -> DataPoint {
    *data_points.data_points.iter().find(|data_point| data_point.key == key).expect(key)
}

const DEFAULTS: &str = "[defaults]\naudience = \"operator\"\nsince = \"1.0.0\"\nuntil = \"3.0\"\n";
const SPAN: &str = "[[span]]\nname = \"step\"\ntarget = \"frob\"\nsentence = \"Steps\"\nwhy = \"Why.\"\n";
const FLAG: &str = "[[data_point]]\nkey = \"frob.flag\"\non = [\"run\"]\nkind = \"bool\"\nsentence = \"A flag\"\nwhy = \"Why.\"\n";

#[test]
fn an_entry_without_its_own_keys_has_the_defaults() {
    let data_points = parse(&format!("{DEFAULTS}{SPAN}{FLAG}"));
    let (span, flag) = (&data_points.spans[0], data_point(data_points, "frob.flag"));
    for (audience, since, until) in
        [(span.audience, span.since, span.until), (flag.audience, flag.since, flag.until)]
    {
        assert_eq!(audience, Audience::Operator);
        assert_eq!((Some(since), until), (Version::parse("1.0.0"), Version::parse("3.0.0")));
    }
}

#[test]
fn an_entrys_own_keys_win() {
    let own = format!("{DEFAULTS}{FLAG}audience = \"maker\"\nsince = \"2.0.0\"\nuntil = \"never\"\n");
    let flag = data_point(parse(&own), "frob.flag");
    assert_eq!(
        (flag.audience, Some(flag.since), flag.until),
        (Audience::Maker, Version::parse("2.0.0"), None)
    );
}

#[test]
fn each_ready_made_data_point_is_one_word() {
    for (name, key) in STANDARD {
        let data_points = parse(&format!("standard = [\"{name}\"]\n[defaults]\nsince = \"1.0.0\"\n"));
        assert_eq!(data_points.keys().collect::<Vec<_>>(), [key], "{name}");
        assert_eq!(data_points.on_run, [0], "{name}");
        let made = data_point(data_points, key);
        assert_eq!((made.audience, made.until), (Audience::Maker, None), "{name}");
    }
    let all = parse(&include_str!("../../../../tests/data/standard.toml").replace("format = 1\n", ""));
    assert_eq!(all.data_points.len(), STANDARD.len());
}

#[test]
fn an_entry_may_override_any_key_of_a_ready_made_one() {
    let data_points = parse(
        "standard = [\"os\", \"ci\"]\n[defaults]\nsince = \"1.0.0\"\naudience = \"operator\"\n\
         [[data_point]]\nkey = \"os.type\"\nvalues = [\"linux\"]\nsince = \"1.1.0\"\naudience = \"maker\"\n\
         [[data_point]]\nkey = \"run.agent\"\nsentence = \"The agent\"\n",
    );
    assert_eq!(data_points.keys().collect::<Vec<_>>(), ["os.type", "run.agent", "run.in_ci"]);
    let os = data_point(data_points, standard::OS);
    assert_eq!((os.kind, os.audience), (Kind::Set(&["linux"]), Audience::Maker));
    assert_eq!(Some(os.since), Version::parse("1.1.0"));
    assert!(os.sentence.starts_with("The operating system,"));
    // Without a name in `standard`, the key alone is enough.
    let agent = data_point(data_points, standard::AGENT);
    assert_eq!((agent.sentence, agent.audience), ("The agent", Audience::Operator));
    assert_eq!(data_point(data_points, standard::CI).audience, Audience::Operator);
}

#[test]
fn errors_are_at_the_authors_lines() {
    for (text, line, message) in [
        ("standard = [\"os\"]\n", 2, "`standard` needs a version; add `[defaults]`"),
        ("standard = [\"disk\"]\n", 2, "`standard` names \"disk\"; use some of exit_code, os, arch"),
        ("standard = [\"os\", \"os\"]\n[defaults]\nsince = \"1.0.0\"\n", 2, "lists \"os\" twice"),
        ("[defaults]\naudience = \"all\"\n", 3, "`audience` is \"all\""),
        ("[defaults]\nkind = \"bool\"\n", 3, "`[defaults]` has an unknown key `kind`"),
        ("[defaults]\nsince = \"2.0.0\"\nuntil = \"1.0.0\"\n", 4, "not later than `since`"),
        ("[[data_point]]\nkey = \"os.type\"\n", 2, "has no `since`"),
        (
            "[[data_point]]\nkey = \"os.type\"\nsince = \"1.0\"\nmin = 1\n",
            5,
            "`min` is a key of the kind integer",
        ),
        ("[[data_point]]\nkey = \"frob.flag\"\nsince = \"1.0\"\n", 2, "has no `kind`"),
        (
            "[[data_point]]\nkey = \"process.exit.code\"\nsince = \"1.0\"\non = [\"step\"]\n",
            5,
            "names \"step\"",
        ),
    ] {
        let errors = errors(text);
        let expected = errors
            .lines()
            .any(|error| error.starts_with(&format!("line {line}: ")) && error.contains(message));
        assert!(expected, "{text}: {errors}");
    }
}
