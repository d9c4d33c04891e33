use tool_telemetry_definition::{DataPoints, ParseErrors};

use crate::GOOD;

/// A text in the good file, its replacement, and a part of the message. The line of the error ends with `# here`, unless
/// it is the first line.
type Case = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // TOML, the file, types.
    ("format = 1", "format = = 1 # here", "invalid TOML"),
    ("licence =", "licence = \"MIT\"\nlicence = \"MIT\" # here\n#", "invalid TOML: duplicate key"),
    ("format = 1", "", "the file has no `format`; add `format = 1`"),
    ("format = 1", "format = 2 # here", "`format` is 2, but this version of tool-telemetry reads only format 1; upgrade it"),
    ("format = 1", "format = \"1\" # here", "`format` is a string; it must be an integer"),
    ("format = 1", "format = 99999999999999999999 # here", "does not fit into 64 bits"),
    ("format = 1", "format = 1\nspans = [] # here", "the file has an unknown key `spans`; the keys are format, tool, telemetry_command, times, standard, defaults, publisher, span"),
    ("format = 1", "format = 1\n\"a\\nb\" = 1 # here", "unknown key `a\\nb`"),
    ("[publisher]", "[[publisher]] # here", "`publisher` is an array; it must be a table: write `[publisher]`"),
    ("name = \"target\"\n", "name = \"target\"\nlevels = 1 # here\n", "`[[span]]` has an unknown key `levels`"),
    ("key = \"dotnet.runtimes\"", "key = \"dotnet.runtimes\"\nregex = \".*\" # here", "`[[data_point]]` has an unknown key `regex`"),
    ("licence = \"CC-BY-4.0\"", "licence = \"CC-BY-4.0\"\npublished_at = \"http://example.com\" # here", "`published_at` is \"http://example.com\", which is not an https address"),
    ("licence = \"CC-BY-4.0\"", "licence = \"CC-BY-4.0\"\nemail = 1 # here", "`[publisher]` has an unknown key `email`"),
    ("on = [\"target\"]\nsentence = \"Whether", "on = \"target\" # here\nsentence = \"Whether", "`on` is a string; it must be an array of strings"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", 1] # here", "an item of `values` is an integer; it must be a string"),
    ("why = \"Runtimes' why.\"", "why = true # here", "`why` is a boolean; it must be a string in quotes"),
    ("why = \"Runtimes' why.\"", "why = 1.5 # here", "is a float"),
    ("why = \"Runtimes' why.\"", "why = 2020-01-01 # here", "is a date"),
    ("why = \"Runtimes' why.\"", "why = {} # here", "is a table"),
    // Missing keys.
    ("[publisher]\nname = \"Example Tools\"", "[publisher] # here", "`[publisher]` has no `name`"),
    ("[publisher]\nname = \"Example Tools\"\ncontact = \"privacy@example.com\"", "[publisher] # here\nname = \"E\"", "has no `contact`"),
    ("[[span]]\nname = \"target\"", "[[span]] # here", "`[[span]]` has no `name`"),
    ("[[span]]\nname = \"target\"\ntarget = \"dotnet::build\"", "[[span]] # here\nname = \"target\"", "has no `target`; add `target ="),
    ("[[data_point]]\nkey = \"dotnet.runtimes\"", "[[data_point]] # here", "`[[data_point]]` has no `key`"),
    ("[[data_point]]\nkey = \"dotnet.runtimes\"\non = [\"target\"]", "[[data_point]] # here\nkey = \"dotnet.runtimes\"", "has no `on`"),
    // The telemetry command.
    ("format = 1", "format = 1\ntelemetry_command = \"telemetry\" # here", "`telemetry_command` is \"telemetry\"; write what users type"),
    ("format = 1", "format = 1\ntelemetry_command = \"frob `rm`\" # here", "write what users type, such as `frob telemetry`"),
    ("format = 1", "format = 1\ntelemetry_command = true # here", "`telemetry_command` is a boolean; it must be a string"),
    // The tool.
    ("format = 1", "format = 1\ntool = \"Frob\" # here", "`tool` is \"Frob\"; write the tool's name as its builder has it"),
    // Publisher.
    ("\"Example Tools\"", "\"\" # here", "`name` is empty"),
    ("\"privacy@example.com\"", "\"privacy\" # here", "`contact` is \"privacy\"; write an e-mail address"),
    ("\"privacy@example.com\"", "\"http://example.com\" # here", "write an e-mail address"),
    ("\"https://example.com/privacy\"", "\"http://example.com/privacy\" # here", "not an https address"),
    ("\"https://example.com/privacy\"", "\"https:///privacy\" # here", "not an https address"),
    ("\"https://example.com/privacy\"", "\"https://user@example.com/\" # here", "not an https address"),
    ("\"https://example.com/privacy\"", "\"https://example.com/a b\" # here", "not an https address"),
    ("= 365", "= 0 # here", "`retention_days` is 0; use 1 to 3650 days"),
    ("= 365", "= 3651 # here", "use 1 to 3650 days"),
    ("\"CC-BY-4.0\"", "\"\" # here", "not an SPDX identifier"),
    ("\"CC-BY-4.0\"", "\"as is\" # here", "not an SPDX identifier"),
    // Spans.
    ("name = \"target\"", "name = \"run\" # here", "which means the run itself"),
    ("name = \"target\"", "name = 'a\"b' # here", "contains `\"`"),
    ("name = \"target\"", "name = 'a\\b' # here", "contains `\\`"),
    ("name = \"target\"", "name = \"a\\tb\" # here", "not printable"),
    ("name = \"target\"", "name = \"a\\u202Eb\" # here", "not printable"),
    ("name = \"target\"", "name = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # here", "has 65 bytes; use at most 64"),
    ("\"dotnet::build\"", "\"dot-net\" # here", "not the path of a crate or module; write it like `frob::build`, with `_` in place of `-`"),
    ("\"dotnet::build\"", "\"dotnet::\" # here", "not the path of a crate or module"),
    ("\"dotnet::build\"", "\"dotnet:build\" # here", "not the path of a crate or module"),
    ("\"dotnet::build\"", "\"\" # here", "not the path of a crate or module"),
    ("\"debug\"", "\"verbose\" # here", "`level` is \"verbose\"; use one of error, warn, info, debug, trace"),
    // What spans and data points have in common.
    ("\"The exit code\"", "\"\" # here", "`sentence` is empty"),
    ("\"The exit code\"", "\" \" # here", "`sentence` is empty"),
    ("\"The exit code\"", "\"a\\nb\" # here", "`sentence` has more than one line"),
    ("\"The exit code\"", "\"a\\u001B[2Jb\" # here", "not printable"),
    ("\"The exit code\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # here", "has 77 characters, but the notice has room for 76; shorten it"),
    ("\"Runtimes' why.\"", "\"\" # here", "`why` is empty"),
    ("audience = \"operator\"\nsince = \"1.0.0-rc.1\"", "audience = \"me\" # here\nsince = \"1.0.0-rc.1\"", "`audience` is \"me\"; use one of maker, operator"),
    ("\"1.0.0-rc.1\"", "\"1.0.0-anna.1\" # here", "`since` is \"1.0.0-anna.1\", which is not a version"),
    ("\"1.0.0-rc.1\"", "\"never\" # here", "not a version"),
    ("\"2.0\"", "\"soon\" # here", "`until` is \"soon\", which is not a version; write one like `1.2.0` or `1.2.0-rc.1`, or `never`"),
    ("\"2.0\"", "\"1.0\" # here", "`until` is 1.0.0, which is not later than `since`, 1.0.0"),
    ("\"2.0\"", "\"1.0.0-rc.1\" # here", "not later than `since`"),
    // Keys.
    ("\"dotnet.runtimes\"", "\"Dotnet.Runtimes\" # here", "use words of lowercase letters"),
    ("\"dotnet.runtimes\"", "\"dotnet..runtimes\" # here", "use words of lowercase letters"),
    ("\"dotnet.runtimes\"", "\"dotnet.1\" # here", "use words of lowercase letters"),
    ("\"dotnet.runtimes\"", "\"dotnet.runner\" # here", "already has an entry; add the spans to the `on`"),
    ("\"dotnet.runtimes\"", "\"process.executable.name\" # here", "which tool-telemetry sets itself"),
    ("\"dotnet.runtimes\"", "\"error.type\" # here", "which tool-telemetry sets itself"),
    ("\"dotnet.runtimes\"", "\"service.name\" # here", "which tool-telemetry sets itself"),
    ("\"dotnet.runtimes\"", "\"telemetry.sdk.name\" # here", "which tool-telemetry sets itself"),
    ("\"dotnet.runtimes\"", "\"tool_telemetry.data_points\" # here", "which tool-telemetry sets itself"),
    ("\"dotnet.runtimes\"", "\"telemetry\" # here", "which tool-telemetry sets itself"),
    ("\"dotnet.runtimes\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # here", "has 65 bytes"),
    // On.
    ("[\"run\", \"target\"]", "[] # here", "`on` is empty"),
    ("[\"run\", \"target\"]", "[\"run\", \"run\"] # here", "`on` lists \"run\" twice"),
    ("[\"run\", \"target\"]", "[\"run\", \"tagret\"] # here", "`on` names \"tagret\", which is not a span of this file"),
    ("audience = \"operator\"\nsince = \"1.0.0\"", "audience = \"maker\" # here\nsince = \"1.0.0\"", "only operators receive the spans in `on`"),
    // Kinds.
    ("\"bool\"", "\"strnig\" # here", "`kind` is \"strnig\"; use one of bool, integer, exit_code, command, set, version, moniker"),
    ("kind = \"bool\"", "kind = \"bool\"\nmin = 1 # here", "`min` is a key of the kind integer, but this data point has the kind bool"),
    ("kind = \"bool\"", "kind = \"bool\"\nvalues = [\"a\"] # here", "a key of the kind command or set"),
    ("kind = \"bool\"", "kind = \"bool\"\nsuffixes = [\"a\"] # here", "a key of the kind moniker"),
    ("max = 9999", "max = 10000 # here", "a range of more than 10000 values"),
    ("min = 0\nmax = 9999", "min = -9223372036854775808\nmax = 9223372036854775807 # here", "more than 10000 values"),
    ("max = 9999", "max = -1 # here", "which is less than `min`, 0"),
    ("[\"xunit\", \"mstest\"]", "[] # here", "`values` is empty"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"\"] # here", "an item of `values` is empty"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"XUnit\"] # here", "`values` lists \"XUnit\" twice"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"Other\"] # here", "which replaces every value that is not listed"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"anna@example.com\"] # here", "contains '@'"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"c#\"] # here", "contains '#'"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"a b\"] # here", "contains ' '"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"größe\"] # here", "contains 'ö'"),
    ("[\"net\", \"netcoreapp\"]", "[\"net\", \"net4\"] # here", "end it with neither a digit nor a dot"),
    ("[\"net\", \"netcoreapp\"]", "[\"net\", \"v1.\"] # here", "end it with neither a digit nor a dot"),
    ("[\"net\", \"netcoreapp\"]", "[\"net\", \"+\"] # here", "begin it with a letter"),
    ("[\"net\", \"netcoreapp\"]", "[] # here", "`prefixes` is empty"),
    ("[\"-windows\"]", "[\".1\"] # here", "begin it with neither a digit nor a dot"),
    ("[\"-windows\"]", "[\"other\"] # here", "which replaces every value"),
    // The run's own kinds.
    ("kind = \"exit_code\"", "kind = \"bool\" # here", "`kind` is \"bool\", but process.exit.code has the kind exit_code"),
    ("key = \"process.exit.code\"", "key = \"dotnet.code\" # here", "but the kind exit_code has the key process.exit.code"),
    ("on = [\"run\"]\nsentence = \"The exit", "on = [\"run\", \"target\"] # here\nsentence = \"The exit", "only the run itself has the kind exit_code"),
    ("on = [\"run\"]\nsentence = \"The command", "on = [\"target\"] # here\nsentence = \"The command", "only the run itself has the kind command"),
    ("on = [\"run\", \"target\"]\nsentence = \"The test runner\"\nwhy = \"Runner's why.\"\nkind = \"set\"", "on = [\"run\"]\nsentence = \"The test runner\"\nwhy = \"Runner's why.\"\nkind = \"command\" # here", "a run has one command"),
];

fn errors(text: &str) -> ParseErrors {
    DataPoints::parse(text).expect_err("the file has an error")
}

#[test]
fn each_error_names_the_line_and_the_remedy() {
    for (from, to, words) in CASES {
        assert_eq!(GOOD.matches(from).count(), 1, "{from:?} occurs once in the good file");
        let text = GOOD.replace(from, to);
        let line = text.lines().position(|line| line.ends_with("# here")).map_or(1, |line| line + 1);
        let found: Vec<_> = errors(&text).iter().cloned().collect();
        let [error] = &found[..] else {
            panic!("{to:?} causes one error, not {found:#?}");
        };
        assert_eq!(error.line(), line, "{to:?}: {error}");
        assert!(error.message().contains(words), "{to:?}: {error}");
    }
}

#[test]
fn a_second_entry_for_a_span_is_an_error() {
    for target in ["dotnet::build", "dotnet", "dotnet::build::inner"] {
        let second = GOOD.replace("target = \"dotnet\"", &format!("target = {target:?}"));
        let second = second.replace("name = \"phase\"", "name = \"target\"").replace("\"phase\", ", "");
        let errors = errors(&second.replace("[\"phase\"]", "[\"target\"]"));
        assert_eq!(errors.iter().count(), 1, "{errors}");
        let words =
            format!("line 21: the span \"target\" of {target} already has an entry, for dotnet::build");
        assert!(errors.to_string().contains(&words), "{errors}");
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file() {
    let text = GOOD
        .replace("\"bool\"", "\"strnig\"")
        .replace("format = 1", "format = 3")
        .replace("= 365", "= 0")
        .replace("\"xunit\"", "\"other\"");
    let lines: Vec<usize> = errors(&text).iter().map(|error| error.line()).collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn columns_count_characters() {
    let text = GOOD.replace("[\"xunit\", \"mstest\"]", "[\"é\", \"mstest\", 1]");
    let columns: Vec<usize> = errors(&text).iter().map(|error| error.column()).collect();
    assert_eq!(columns, [11, 26]);
}

#[test]
fn invalid_toml_is_reported_once_per_line() {
    let errors = errors("a = 'x\nb = \n[[span]\n");
    let lines: Vec<usize> = errors.iter().map(|error| error.line()).collect();
    assert_eq!(lines, [1, 2, 3], "{errors}");
}

/// A file with this many spans or data points.
fn many(entry: &str, count: usize) -> String {
    let common = "sentence = 's'\nwhy = 'w'\naudience = 'maker'\nsince = '1'\nuntil = 'never'\n";
    (0..count).fold("format = 1\n".to_owned(), |text, number| {
        text + &entry.replace("NUMBER", &number.to_string()) + common
    })
}

#[test]
fn a_file_has_at_most_64_spans_and_64_data_points() {
    let span = "[[span]]\nname = 'sNUMBER'\ntarget = 't'\n";
    let data_point = "[[data_point]]\nkey = 'kNUMBER'\non = ['run']\nkind = 'bool'\n";
    for (entry, words) in [(span, "more than 64 spans"), (data_point, "more than 64 data points")] {
        assert!(DataPoints::parse(&many(entry, 64)).is_ok());
        let errors = errors(&many(entry, 66));
        assert!(errors.to_string().contains(words), "{errors}");
        assert_eq!(errors.iter().count(), 1);
    }
}

#[test]
fn a_list_has_at_most_250_members() {
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("'m{number}'")).collect();
        GOOD.replace("\"xunit\", \"mstest\"", &members.join(", "))
    };
    assert!(DataPoints::parse(&members(250)).is_ok());
    let errors = errors(&members(251));
    assert!(errors.to_string().contains("`values` has more than 250 items"), "{errors}");
}
