use tool_telemetry_definition::{Definition, Faults};

use crate::GOOD;

/// What is replaced in the good file, by what, and words of the message. The line of the fault has `# here`, unless
/// the fault is about the first line.
type Case = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // TOML, the file, types.
    ("format = 1", "format = = 1 # here", "this is not TOML"),
    ("licence =", "licence = \"MIT\"\nlicence = \"MIT\" # here\n#", "this is not TOML: duplicate key"),
    ("format = 1", "", "the file has no `format`; add `format = 1`"),
    ("format = 1", "format = 2 # here", "`format` is 2; this version of tool-telemetry reads format 1"),
    ("format = 1", "format = \"1\" # here", "`format` is a text; it must be a whole number"),
    ("format = 1", "format = 99999999999999999999 # here", "does not fit into 64 bits"),
    ("format = 1", "format = 1\nspans = [] # here", "`spans` is no key of the file; the keys are format, telemetry_command, publisher, span"),
    ("format = 1", "format = 1\n\"a\\nb\" = 1 # here", "`a\\nb` is no key"),
    ("[publisher]", "[[publisher]] # here", "`publisher` is a list; it must be a table: write `[publisher]`"),
    ("name = \"target\"\n", "name = \"target\"\nlevels = 1 # here\n", "`levels` is no key of `[[span]]`"),
    ("key = \"dotnet.runtimes\"", "key = \"dotnet.runtimes\"\nregex = \".*\" # here", "`regex` is no key of `[[data_point]]`"),
    ("licence = \"CC-BY-4.0\"", "licence = \"CC-BY-4.0\"\nemail = 1 # here", "`email` is no key of `[publisher]`"),
    ("on = [\"target\"]\nsentence = \"Whether", "on = \"target\" # here\nsentence = \"Whether", "`on` is a text; it must be a list of texts"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", 1] # here", "a member of `values` is a whole number; it must be a text"),
    ("why = \"Runtimes' why.\"", "why = true # here", "`why` is true or false; it must be a text in quotes"),
    ("why = \"Runtimes' why.\"", "why = 1.5 # here", "is a fraction"),
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
    ("format = 1", "format = 1\ntelemetry_command = \"telemetry\" # here", "`telemetry_command` is \"telemetry\"; write what people type"),
    ("format = 1", "format = 1\ntelemetry_command = \"frob `rm`\" # here", "write what people type, such as `frob telemetry`"),
    ("format = 1", "format = 1\ntelemetry_command = true # here", "`telemetry_command` is true or false; it must be a text"),
    // Publisher.
    ("\"Example Tools\"", "\"\" # here", "`name` is empty"),
    ("\"privacy@example.com\"", "\"privacy\" # here", "`contact` is \"privacy\"; write an e-mail address"),
    ("\"privacy@example.com\"", "\"http://example.com\" # here", "write an e-mail address"),
    ("\"https://example.com/privacy\"", "\"http://example.com/privacy\" # here", "no https address"),
    ("\"https://example.com/privacy\"", "\"https:///privacy\" # here", "no https address"),
    ("\"https://example.com/privacy\"", "\"https://user@example.com/\" # here", "no https address"),
    ("\"https://example.com/privacy\"", "\"https://example.com/a b\" # here", "no https address"),
    ("= 365", "= 0 # here", "`retention_days` is 0; use 1 to 3650 days"),
    ("= 365", "= 3651 # here", "use 1 to 3650 days"),
    ("\"CC-BY-4.0\"", "\"\" # here", "no SPDX identifier"),
    ("\"CC-BY-4.0\"", "\"as is\" # here", "no SPDX identifier"),
    // Spans.
    ("name = \"target\"", "name = \"run\" # here", "which means the run itself"),
    ("name = \"target\"", "name = 'a\"b' # here", "contains `\"`"),
    ("name = \"target\"", "name = 'a\\b' # here", "contains `\\`"),
    ("name = \"target\"", "name = \"a\\tb\" # here", "does not print"),
    ("name = \"target\"", "name = \"a\\u202Eb\" # here", "does not print"),
    ("name = \"target\"", "name = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # here", "has 65 bytes; use at most 64"),
    ("\"dotnet::build\"", "\"dot-net\" # here", "no crate or module; write it like `frob::build`; a crate's `-` is a `_` there"),
    ("\"dotnet::build\"", "\"dotnet::\" # here", "no crate or module"),
    ("\"dotnet::build\"", "\"dotnet:build\" # here", "no crate or module"),
    ("\"dotnet::build\"", "\"\" # here", "no crate or module"),
    ("\"debug\"", "\"verbose\" # here", "`level` is \"verbose\", which is no level; use one of error, warn, info, debug, trace"),
    // What spans and data points have in common.
    ("\"The exit code\"", "\"\" # here", "`sentence` is empty"),
    ("\"The exit code\"", "\" \" # here", "`sentence` is empty"),
    ("\"The exit code\"", "\"a\\nb\" # here", "`sentence` has more than one line"),
    ("\"The exit code\"", "\"a\\u001B[2Jb\" # here", "does not print"),
    ("\"The exit code\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # here", "has 77 characters; the notice has room for 76"),
    ("\"Runtimes' why.\"", "\"\" # here", "`why` is empty"),
    ("audience = \"operator\"\nsince = \"1.0.0-rc.1\"", "audience = \"me\" # here\nsince = \"1.0.0-rc.1\"", "`audience` is \"me\", which is no audience; use one of maker, operator"),
    ("\"1.0.0-rc.1\"", "\"1.0.0-anna.1\" # here", "`since` is \"1.0.0-anna.1\", which is no version"),
    ("\"1.0.0-rc.1\"", "\"never\" # here", "no version"),
    ("\"2.0\"", "\"soon\" # here", "`until` is \"soon\", which is no version; write one like `1.2.0` or `1.2.0-rc.1`, or `never`"),
    ("\"2.0\"", "\"1.0\" # here", "`until` is 1.0.0, which is not after `since`, 1.0.0"),
    ("\"2.0\"", "\"1.0.0-rc.1\" # here", "not after `since`"),
    // Keys.
    ("\"dotnet.runtimes\"", "\"Dotnet.Runtimes\" # here", "use small letters"),
    ("\"dotnet.runtimes\"", "\"dotnet..runtimes\" # here", "use small letters"),
    ("\"dotnet.runtimes\"", "\"dotnet.1\" # here", "use small letters"),
    ("\"dotnet.runtimes\"", "\"dotnet.runner\" # here", "has an entry already; name further spans in the `on`"),
    ("\"dotnet.runtimes\"", "\"process.executable.name\" # here", "set without an entry"),
    ("\"dotnet.runtimes\"", "\"error.type\" # here", "set without an entry"),
    ("\"dotnet.runtimes\"", "\"service.name\" # here", "set without an entry"),
    ("\"dotnet.runtimes\"", "\"telemetry.sdk.name\" # here", "set without an entry"),
    ("\"dotnet.runtimes\"", "\"telemetry\" # here", "set without an entry"),
    ("\"dotnet.runtimes\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" # here", "has 65 bytes"),
    // On.
    ("[\"run\", \"target\"]", "[] # here", "`on` has no member"),
    ("[\"run\", \"target\"]", "[\"run\", \"run\"] # here", "`on` lists \"run\" twice"),
    ("[\"run\", \"target\"]", "[\"run\", \"tagret\"] # here", "`on` names \"tagret\", which is no span of this file"),
    ("audience = \"operator\"\nsince = \"1.0.0\"", "audience = \"maker\" # here\nsince = \"1.0.0\"", "only operators receive the spans it is on"),
    // Kinds.
    ("\"bool\"", "\"strnig\" # here", "`kind` is \"strnig\", which is no kind; use one of bool, integer, exit_code, command, set, version, moniker"),
    ("kind = \"bool\"", "kind = \"bool\"\nmin = 1 # here", "`min` belongs to the kind integer, and this one is bool"),
    ("kind = \"bool\"", "kind = \"bool\"\nvalues = [\"a\"] # here", "belongs to the kind command or set"),
    ("kind = \"bool\"", "kind = \"bool\"\nsuffixes = [\"a\"] # here", "belongs to the kind moniker"),
    ("max = 9999", "max = 10000 # here", "more than 10000 values; use a narrower range"),
    ("min = 0\nmax = 9999", "min = -9223372036854775808\nmax = 9223372036854775807 # here", "more than 10000 values"),
    ("max = 9999", "max = -1 # here", "`min` must not be greater"),
    ("[\"xunit\", \"mstest\"]", "[] # here", "`values` has no member"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"\"] # here", "a member of `values` is empty"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"XUnit\"] # here", "`values` lists \"XUnit\" twice"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"Other\"] # here", "which everything becomes that is not listed"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"anna@example.com\"] # here", "contains '@'"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"c#\"] # here", "contains '#'"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"a b\"] # here", "contains ' '"),
    ("[\"xunit\", \"mstest\"]", "[\"xunit\", \"größe\"] # here", "contains 'ö'"),
    ("[\"net\", \"netcoreapp\"]", "[\"net\", \"net4\"] # here", "do not end it with a digit or a dot"),
    ("[\"net\", \"netcoreapp\"]", "[\"net\", \"v1.\"] # here", "do not end it with a digit or a dot"),
    ("[\"net\", \"netcoreapp\"]", "[\"net\", \"+\"] # here", "begin it with a letter"),
    ("[\"net\", \"netcoreapp\"]", "[] # here", "`prefixes` has no member"),
    ("[\"-windows\"]", "[\".1\"] # here", "begin it with neither a digit nor a dot"),
    ("[\"-windows\"]", "[\"other\"] # here", "which everything becomes"),
    // The run's own kinds.
    ("kind = \"exit_code\"", "kind = \"bool\" # here", "`kind` is \"bool\", but process.exit.code must be an exit_code"),
    ("key = \"process.exit.code\"", "key = \"dotnet.code\" # here", "must have the key process.exit.code"),
    ("on = [\"run\"]\nsentence = \"The exit", "on = [\"run\", \"target\"] # here\nsentence = \"The exit", "only the run itself has the kind exit_code"),
    ("on = [\"run\"]\nsentence = \"The command", "on = [\"target\"] # here\nsentence = \"The command", "only the run itself has the kind command"),
    ("on = [\"run\", \"target\"]\nsentence = \"The test runner\"\nwhy = \"Runner's why.\"\nkind = \"set\"", "on = [\"run\"]\nsentence = \"The test runner\"\nwhy = \"Runner's why.\"\nkind = \"command\" # here", "a run has one command"),
];

fn faults(text: &str) -> Faults {
    Definition::parse(text).expect_err("the file has a fault")
}

#[test]
fn each_check_names_the_line_and_what_to_do() {
    for (from, to, words) in CASES {
        assert_eq!(GOOD.matches(from).count(), 1, "{from:?} stands for one place of the good file");
        let text = GOOD.replace(from, to);
        let line = text.lines().position(|line| line.ends_with("# here")).map_or(1, |line| line + 1);
        let found: Vec<_> = faults(&text).iter().cloned().collect();
        let [fault] = &found[..] else {
            panic!("{to:?} is one fault, not {found:#?}");
        };
        assert_eq!(fault.line(), line, "{to:?}: {fault}");
        assert!(fault.message().contains(words), "{to:?}: {fault}");
    }
}

#[test]
fn a_span_has_one_entry() {
    for target in ["dotnet::build", "dotnet", "dotnet::build::inner"] {
        let second = GOOD.replace("target = \"dotnet\"", &format!("target = {target:?}"));
        let second = second.replace("name = \"phase\"", "name = \"target\"").replace("\"phase\", ", "");
        let faults = faults(&second.replace("[\"phase\"]", "[\"target\"]"));
        assert_eq!(faults.iter().count(), 1, "{faults}");
        let words =
            format!("line 21: the span \"target\" of {target} has an entry already, for dotnet::build");
        assert!(faults.to_string().contains(&words), "{faults}");
    }
}

#[test]
fn all_faults_are_told_in_the_order_of_the_file() {
    let text = GOOD
        .replace("\"bool\"", "\"strnig\"")
        .replace("format = 1", "format = 3")
        .replace("= 365", "= 0")
        .replace("\"xunit\"", "\"other\"");
    let lines: Vec<usize> = faults(&text).iter().map(|fault| fault.line()).collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_column_counts_characters() {
    let text = GOOD.replace("[\"xunit\", \"mstest\"]", "[\"é\", \"mstest\", 1]");
    let columns: Vec<usize> = faults(&text).iter().map(|fault| fault.column()).collect();
    assert_eq!(columns, [11, 26]);
}

#[test]
fn broken_toml_is_told_once_for_each_line() {
    let faults = faults("a = 'x\nb = \n[[span]\n");
    let lines: Vec<usize> = faults.iter().map(|fault| fault.line()).collect();
    assert_eq!(lines, [1, 2, 3], "{faults}");
}

/// A file with this many spans, or data points.
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
    for (entry, words) in [(span, "one span more than 64"), (data_point, "one data point more than 64")] {
        assert!(Definition::parse(&many(entry, 64)).is_ok());
        let faults = faults(&many(entry, 66));
        assert!(faults.to_string().contains(words), "{faults}");
        assert_eq!(faults.iter().count(), 1);
    }
}

#[test]
fn a_list_has_at_most_250_members() {
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("'m{number}'")).collect();
        GOOD.replace("\"xunit\", \"mstest\"", &members.join(", "))
    };
    assert!(Definition::parse(&members(250)).is_ok());
    let faults = faults(&members(251));
    assert!(faults.to_string().contains("`values` has more than 250 members"), "{faults}");
}
