use std::collections::BTreeSet;
use std::fs;

use yaml_rust2::{Yaml, YamlLoader};

use crate::fixture::{GOOD, TestUser};

/// The keys that the library itself sets. All but the last are from the semantic conventions.
const FIXED: [&str; 10] = [
    "process.executable.name",
    "error.type",
    "service.name",
    "service.version",
    "telemetry.sdk.name",
    "telemetry.sdk.language",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
    "tool_telemetry.data_points",
];
const APPROVED: [&str; 7] = [
    "frob.command",
    "process.exit.code",
    "frob.color",
    "frob.number",
    "frob.cached",
    "frob.compiler",
    "frob.framework",
];

fn all_keys() -> BTreeSet<&'static str> {
    FIXED.into_iter().chain(APPROVED).collect()
}

fn parsed(text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).expect("YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn generate(file: &str, arguments: &[&str]) -> Yaml {
    let user = TestUser::new();
    user.write("telemetry.toml", file);
    let output = user.run([arguments[0], "telemetry.toml"].iter().chain(&arguments[1..]));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    parsed(&output.stdout)
}

fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// The conditions or statements of one context of a processor.
fn lines<'a>(config: &'a Yaml, processor: &str, list: &str, lines: &str, context: &str) -> Vec<&'a str> {
    let groups = config["processors"][processor][list].as_vec().expect("groups");
    let mut found = groups.iter().filter(|group| group["context"].as_str() == Some(context));
    let group = found.next().expect("a group of this context");
    assert!(found.next().is_none(), "one group of each context");
    texts(&group[lines])
}

fn conditions<'a>(config: &'a Yaml, tool: &str, context: &str) -> Vec<&'a str> {
    lines(config, &format!("filter/{tool}"), "trace_conditions", "conditions", context)
}

fn statements<'a>(config: &'a Yaml, tool: &str, context: &str) -> Vec<&'a str> {
    lines(config, &format!("transform/{tool}"), "trace_statements", "statements", context)
}

/// The keys of the attributes that statements copy.
fn copied<'a>(statements: &[&'a str]) -> Vec<&'a str> {
    let key = |statement: &&'a str| statement.split(".cache[\"").nth(1)?.split('"').next();
    statements.iter().filter_map(key).collect()
}

/// A telemetry.toml that names its tool and counts installations.
fn counting(tool: &str) -> String {
    let counts = r#"
[publish]
period = "week"

[[count]]
of = ["frob.command", "error.type"]
at_most = 3

[[count]]
of = ["service.version"]
releases = ["1.0.0", "1.1.0"]
at_most = 2
"#;
    GOOD.replacen("format = 1", &format!("format = 1\ntool = \"{tool}\""), 1) + counts
}

#[test]
fn a_collector_copies_exactly_the_approved_keys() {
    let config = generate(GOOD, &["collector-config", "--tool", "frob"]);
    let resource = statements(&config, "frob", "resource");
    let scope = statements(&config, "frob", "scope");
    let span = statements(&config, "frob", "span");
    let keys = [copied(&resource), copied(&span)].concat();
    assert_eq!(keys.iter().copied().collect::<BTreeSet<_>>(), all_keys());
    assert_eq!(keys.len(), all_keys().len());
    for (context, statements) in [("resource", resource), ("scope", scope), ("span", span)] {
        let replaced = format!("set({context}.attributes, {context}.cache)");
        assert!(statements.contains(&&*replaced), "{statements:?}");
    }
}

#[test]
fn a_collector_passes_a_value_only_on_its_spans_and_as_its_kind_has_it() {
    let config = generate(GOOD, &["collector-config", "--tool", "frob"]);
    let statements = statements(&config, "frob", "span");
    let condition = |key: &str| {
        let begin = format!("set(span.cache[\"{key}\"], span.attributes[\"{key}\"]) where ");
        statements.iter().find_map(|statement| statement.strip_prefix(&begin)).expect("a statement")
    };
    let run = "IsMatch(span.name, \"^(?:frob(?: (?:build|test|other))?)$$\")";
    assert_eq!(
        condition("frob.color"),
        format!(
            "({run} or span.name == \"build step\") and IsString(span.attributes[\"frob.color\"]) and \
             IsMatch(span.attributes[\"frob.color\"], \"^(?:always|never|other)$$\")"
        )
    );
    assert_eq!(
        condition("frob.number"),
        "(span.name == \"build step\" or span.name == \"phase\") and IsInt(span.attributes[\"frob.number\"]) \
         and span.attributes[\"frob.number\"] >= -1 and span.attributes[\"frob.number\"] <= 9998"
    );
    assert_eq!(
        condition("frob.cached"),
        "span.name == \"build step\" and IsBool(span.attributes[\"frob.cached\"])"
    );
    assert!(
        condition("frob.framework").contains("^(?:(?:net|netcoreapp)(?:0|[1-9][0-9]{0,4})(?:[.]"),
        "{}",
        condition("frob.framework")
    );
    assert_eq!(
        condition("process.executable.name"),
        format!("{run} and span.attributes[\"process.executable.name\"] == \"frob\"")
    );
}

#[test]
fn a_collector_drops_spans_that_the_library_cannot_have_recorded() {
    let config = generate(GOOD, &["collector-config", "--tool", "frob"]);
    assert_eq!(
        conditions(&config, "frob", "resource"),
        ["resource.attributes[\"service.name\"] != \"frob\""]
    );
    assert_eq!(conditions(&config, "frob", "scope"), ["scope.name != \"tool-telemetry\""]);
    assert_eq!(
        conditions(&config, "frob", "span"),
        [
            "not (IsMatch(span.name, \"^(?:frob(?: (?:build|test|other))?)$$\") or span.name == \"build step\" \
             or span.name == \"phase\")",
            "span.kind != SPAN_KIND_INTERNAL",
            "span.flags != 257 and span.flags != 769",
            "span.status.code != STATUS_CODE_UNSET and span.status.code != STATUS_CODE_ERROR",
            "span.status.message != \"\"",
            "span.trace_state != \"\"",
            "Len(span.events) > 0",
            "Len(span.links) > 0",
            "span.dropped_attributes_count != 0",
            "span.dropped_events_count != 0",
            "span.dropped_links_count != 0",
        ]
    );
    // A condition or statement that fails must refuse the request.
    for processor in ["filter/frob", "transform/frob"] {
        assert_eq!(config["processors"][processor]["error_mode"].as_str(), Some("propagate"));
    }
}

#[test]
fn a_collector_passes_a_count_of_a_table_and_no_other() {
    let config = generate(&counting("frob"), &["collector-config"]);
    let conditions = conditions(&config, "frob", "span");
    assert!(conditions[0].ends_with(" or span.name == \"count\")"), "{}", conditions[0]);
    let cells = "span.name == \"count\" and (not (\
        Len(span.attributes) == 2 \
        and IsString(span.attributes[\"frob.command\"]) \
        and IsMatch(span.attributes[\"frob.command\"], \"^(?:build|test|other)$$\") \
        and IsString(span.attributes[\"error.type\"]) \
        and IsMatch(span.attributes[\"error.type\"], \"^(?:_OTHER|cut_off)$$\") \
        or Len(span.attributes) == 1 \
        and IsString(span.attributes[\"service.version\"]) \
        and IsMatch(span.attributes[\"service.version\"], \"^(?:1[.]0[.]0|1[.]1[.]0|other)$$\")))";
    assert!(conditions.contains(&cells), "{conditions:#?}");
    let run_beside = "not (span.name == \"count\") and Len(resource.attributes) == 2";
    assert!(conditions.contains(&run_beside), "{conditions:#?}");
    let copied = copied(&statements(&config, "frob", "span"));
    assert!(copied.ends_with(&["error.type", "frob.command", "service.version"]), "{copied:?}");
    // A tool may have the name of a count.
    let config = generate(&counting("count"), &["collector-config"]);
    let own_run = "span.name == \"count\" and span.attributes[\"process.executable.name\"] == nil";
    assert!(self::conditions(&config, "count", "span")[0].contains(own_run));
}

#[test]
fn a_collector_needs_the_name_of_each_tool() {
    let user = TestUser::new();
    user.write("frob.toml", &counting("frob"));
    user.write("nameless.toml", GOOD);
    for (arguments, reason) in [
        (&["nameless.toml"][..], "nameless.toml does not tell which tool it belongs to"),
        (&["frob.toml", "nameless.toml"], "nameless.toml does not tell which tool"),
        (&["frob.toml", "nameless.toml", "--tool", "frob"], "nameless.toml does not tell which tool"),
        (&["frob.toml", "--tool", "weave"], "is that of the tool \"frob\", not of \"weave\""),
        (&["frob.toml", "frob.toml"], "several files are those of the tool \"frob\""),
    ] {
        let output = user.run(["collector-config"].iter().chain(arguments));
        assert_eq!(output.code, 2, "{arguments:?}");
        assert!(output.stderr.contains(reason), "{arguments:?}: {}", output.stderr);
    }
}

/// Joins maps as the Collector joins its `--config` files: a later list or text replaces an earlier one.
fn join(one: &mut Yaml, other: &Yaml) {
    match (one, other) {
        (Yaml::Hash(one), Yaml::Hash(other)) => {
            for (key, value) in other {
                join(one.entry(key.clone()).or_insert(Yaml::Null), value);
            }
        }
        (one, other) => *one = other.clone(),
    }
}

#[test]
fn configurations_of_several_tools_can_be_combined() {
    let user = TestUser::new();
    user.write("frob.toml", &counting("frob"));
    user.write("weave.toml", &counting("weave").replace("frob.color", "weave.color"));
    let generate = |files: &[&str]| {
        let output = user.run(["collector-config"].iter().chain(files));
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        parsed(&output.stdout)
    };
    let mut joined = generate(&["frob.toml"]);
    join(&mut joined, &generate(&["weave.toml"]));
    assert_eq!(joined, generate(&["frob.toml", "weave.toml"]));
    for tool in ["frob", "weave"] {
        let pipeline = &joined["service"]["pipelines"][&*format!("traces/{tool}")];
        assert_eq!(texts(&pipeline["receivers"]), ["otlp"]);
        assert_eq!(texts(&pipeline["processors"]), [format!("filter/{tool}"), format!("transform/{tool}")]);
        for section in ["receivers", "processors", "exporters"] {
            for name in texts(&pipeline[section]) {
                assert!(!joined[section][name].is_badvalue(), "{section} {name} is defined");
            }
        }
        let color = format!("{tool}.color");
        assert!(copied(&statements(&joined, tool, "span")).contains(&&*color));
    }
}

#[test]
fn a_registry_defines_exactly_the_approved_keys() {
    let registry = generate(GOOD, &["registry", "--tool", "frob"]);
    assert_eq!(registry["file_format"].as_str(), Some("definition/2"));
    let attributes = registry["attributes"].as_vec().expect("attributes");
    let keys: Vec<_> = attributes.iter().map(|attribute| attribute["key"].as_str().expect("a key")).collect();
    assert_eq!(keys.iter().copied().collect::<BTreeSet<_>>(), all_keys());
    assert_eq!(keys.len(), all_keys().len());
    for attribute in attributes {
        for needed in ["brief", "stability"] {
            assert!(attribute[needed].as_str().is_some(), "{attribute:?}");
        }
    }
}

#[test]
fn a_registry_defines_each_attributes_type() {
    let registry = generate(GOOD, &["registry", "--tool", "frob"]);
    let attributes = registry["attributes"].as_vec().expect("attributes");
    let kind = |key: &str| {
        let attribute =
            attributes.iter().find(|attribute| attribute["key"].as_str() == Some(key)).expect("a key");
        &attribute["type"]
    };
    let members = |key: &str| -> Vec<&str> {
        let members = kind(key)["members"].as_vec().expect("members");
        members.iter().map(|member| member["value"].as_str().expect("a text")).collect()
    };
    assert_eq!(members("frob.command"), ["build", "test", "other"]);
    assert_eq!(members("frob.color"), ["always", "never", "other"]);
    assert_eq!(members("error.type"), ["_OTHER", "cut_off"]);
    for (key, wanted) in [
        ("process.exit.code", "int"),
        ("frob.number", "int"),
        ("frob.cached", "boolean"),
        ("frob.compiler", "string"),
        ("frob.framework", "string"),
    ] {
        assert_eq!(kind(key).as_str(), Some(wanted), "{key}");
    }
}

#[test]
fn each_reference_in_a_registry_is_defined() {
    let registry = generate(GOOD, &["registry", "--tool", "frob"]);
    let spans = registry["spans"].as_vec().expect("spans");
    let named = |span: &Yaml| {
        (span["type"].as_str().map(str::to_owned), span["name"]["note"].as_str().map(str::to_owned))
    };
    let some = |kind: &str, name: &str| (Some(kind.to_owned()), Some(name.to_owned()));
    assert_eq!(
        spans.iter().map(named).collect::<Vec<_>>(),
        [
            some("frob.run", "frob {frob.command}"),
            some("frob.build_step", "build step"),
            some("frob.phase", "phase")
        ]
    );
    let entities = registry["entities"].as_vec().expect("entities");
    let lists = spans
        .iter()
        .map(|span| &span["attributes"])
        .chain(entities.iter().flat_map(|entity| [&entity["identity"], &entity["description"]]));
    let mut referred = BTreeSet::new();
    for list in lists.filter(|list| !list.is_badvalue()) {
        for reference in list.as_vec().expect("a list") {
            referred.insert(reference["ref"].as_str().expect("a key"));
        }
    }
    assert_eq!(referred, all_keys());
}

#[test]
fn a_registry_gives_each_group_a_requirement_level() {
    let registry = generate(&counting("frob"), &["registry"]);
    for section in ["spans", "entities"] {
        for group in registry[section].as_vec().expect("groups") {
            assert_eq!(group["requirement_level"].as_str(), Some("recommended"), "{group:?}");
        }
    }
    let spans = registry["spans"].as_vec().expect("spans");
    let count = spans.iter().find(|span| span["type"].as_str() == Some("frob.count")).expect("a count");
    assert_eq!(count["name"]["note"].as_str(), Some("count"));
    let keys: Vec<_> =
        count["attributes"].as_vec().expect("keys").iter().map(|key| key["ref"].as_str()).collect();
    assert_eq!(keys, [Some("error.type"), Some("frob.command"), Some("service.version")]);
    let without = generate(GOOD, &["registry", "--tool", "frob"]);
    assert!(!format!("{without:?}").contains("frob.count"));
}

#[test]
fn similar_members_and_spans_get_unique_ids() {
    let alike = GOOD
        .replace("[\"always\", \"never\"]", "[\"a-b\", \"a.b\", \"1.0\", \"never\"]")
        .replace("\"phase\"", "\"build.step\"");
    let registry = generate(&alike, &["registry", "--tool", "frob"]);
    let text = format!("{registry:?}");
    for id in ["a_b", "a_b_2", "v_1_0", "frob.build_step", "frob.build_step_2"] {
        assert!(text.contains(&format!("{id:?}")), "{id}: {text}");
    }
}

#[test]
fn yaml_syntax_in_the_file_is_quoted() {
    let hostile = GOOD
        .replace("The command being used", "a: b # c 'd' - {e} \\\" \\\\ é")
        .replace("\"To choose a default.\"", "\"x\\ny: [z\"")
        .replace("\"phase\"", "\"a: 'b' #{c} ${env:HOME}\"");
    let config = generate(&hostile, &["collector-config", "--tool", "frob"]);
    assert!(conditions(&config, "frob", "span")[0].contains("span.name == \"a: 'b' #{c} $${env:HOME}\""));
    let registry = generate(&hostile, &["registry", "--tool", "frob"]);
    let brief = registry["attributes"]
        .as_vec()
        .and_then(|all| all.iter().find(|attribute| attribute["key"].as_str() == Some("frob.command")))
        .and_then(|attribute| attribute["brief"].as_str());
    assert_eq!(brief, Some("a: b # c 'd' - {e} \" \\ é"));
}

#[test]
fn a_registry_is_written_as_a_directory_with_a_manifest() {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    let arguments = ["registry", "telemetry.toml", "--tool", "frob", "--output", "registry"];
    let output =
        user.run(arguments.iter().chain(&["--schema-url", "https://example.org/schemas/frob/1.2.0"]));
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "registry/manifest.yaml\nregistry/conventions.yaml\n")
    );
    let read =
        |name: &str| parsed(&fs::read_to_string(user.home().join("registry").join(name)).expect("a file"));
    assert_eq!(read("manifest.yaml")["schema_url"].as_str(), Some("https://example.org/schemas/frob/1.2.0"));
    assert_eq!(read("conventions.yaml")["file_format"].as_str(), Some("definition/2"));
    let output = user.run(arguments.iter().chain(&["--schema-url", "frob"]));
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("with a version at the end"), "{}", output.stderr);
}

#[test]
fn clickhouse_gets_whole_hours_over_a_synced_queue_and_no_password() {
    let address = "https://clickhouse.example.org:8443/otel";
    let config = generate(GOOD, &["collector-config", "--tool", "frob", "--clickhouse", address]);
    let exporter = &config["exporters"]["clickhouse"];
    assert_eq!(exporter["endpoint"].as_str(), Some("https://clickhouse.example.org:8443/"));
    assert_eq!(exporter["database"].as_str(), Some("otel"));
    assert_eq!(exporter["password"].as_str(), Some("${env:CLICKHOUSE_PASSWORD}"));
    assert_eq!(exporter["sending_queue"]["storage"].as_str(), Some("file_storage"));
    assert_eq!(exporter["retry_on_failure"]["max_elapsed_time"].as_i64(), Some(0));
    assert_eq!(config["extensions"]["file_storage"]["fsync"].as_bool(), Some(true));
    assert_eq!(texts(&config["service"]["extensions"]), ["file_storage"]);
    assert_eq!(texts(&config["service"]["pipelines"]["traces/frob"]["exporters"]), ["clickhouse"]);
    let statements = lines(&config, "transform/frob", "trace_statements", "statements", "span");
    let start = "span.start_time_unix_nano";
    let [.., end, last] = &statements[..] else { panic!("{statements:?}") };
    assert_eq!(*last, format!("set({start}, {start} / 3600000000000 * 3600000000000)"));
    assert!(end.starts_with("set(span.end_time_unix_nano, "), "{end}");
}
