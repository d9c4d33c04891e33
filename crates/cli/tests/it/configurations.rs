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

fn conditions(config: &Yaml) -> Vec<&str> {
    let groups = config["processors"]["filter"]["trace_conditions"].as_vec().expect("conditions");
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["context"].as_str(), Some("span"));
    texts(&groups[0]["conditions"])
}

#[test]
fn a_collector_passes_exactly_the_approved_keys() {
    let config = generate(GOOD, &["collector-config"]);
    let redaction = &config["processors"]["redaction"];
    let keys = texts(&redaction["allowed_keys"]);
    assert_eq!(keys.iter().copied().collect::<BTreeSet<_>>(), all_keys());
    assert_eq!(keys.len(), all_keys().len());
    assert_eq!(redaction["allow_all_keys"].as_bool(), Some(false));
    // Other values write the names of removed keys into the spans.
    assert_eq!(redaction["summary"].as_str(), Some("silent"));
}

#[test]
fn a_collector_drops_spans_that_the_library_cannot_have_recorded() {
    let config = generate(GOOD, &["collector-config", "--tool", "frob"]);
    assert_eq!(
        conditions(&config),
        [
            "resource.attributes[\"service.name\"] != \"frob\"",
            "span.name != \"frob\" and span.name != \"frob build\" and span.name != \"frob test\" \
             and span.name != \"frob other\" and span.name != \"build step\" and span.name != \"phase\"",
            "instrumentation_scope.name != \"tool-telemetry\"",
            "span.status.message != \"\"",
            "span.trace_state != \"\"",
            "Len(span.events) > 0",
            "Len(span.links) > 0",
        ]
    );
    // A condition that fails must drop the request.
    assert_eq!(config["processors"]["filter"]["error_mode"].as_str(), Some("propagate"));
}

#[test]
fn without_a_tool_name_a_run_must_have_the_name_of_its_service() {
    let config = generate(GOOD, &["collector-config"]);
    assert!(conditions(&config).contains(
        &"span.name != resource.attributes[\"service.name\"] \
          and span.name != Concat([resource.attributes[\"service.name\"], \"build\"], \" \") \
          and span.name != Concat([resource.attributes[\"service.name\"], \"test\"], \" \") \
          and span.name != Concat([resource.attributes[\"service.name\"], \"other\"], \" \") \
          and span.name != \"build step\" and span.name != \"phase\""
    ));
}

#[test]
fn a_collector_of_several_tools_needs_their_names() {
    let named = |tool: &str| GOOD.replacen("format = 1", &format!("format = 1\ntool = \"{tool}\""), 1);
    let user = TestUser::new();
    user.write("frob.toml", &named("frob"));
    user.write("weave.toml", &named("weave").replace("frob.color", "weave.color"));
    user.write("nameless.toml", GOOD);
    let output = user.run(["collector-config", "frob.toml", "weave.toml"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let config = parsed(&output.stdout);
    let conditions = conditions(&config);
    assert_eq!(
        conditions[0],
        "resource.attributes[\"service.name\"] != \"frob\" and resource.attributes[\"service.name\"] != \"weave\""
    );
    for (condition, tool) in conditions[1..3].iter().zip(["frob", "weave"]) {
        let begins = format!(
            "resource.attributes[\"service.name\"] == \"{tool}\" and span.name != \"{tool}\" \
             and span.name != \"{tool} build\""
        );
        assert!(condition.starts_with(&begins), "{condition}");
    }
    let keys = texts(&config["processors"]["redaction"]["allowed_keys"]);
    assert_eq!(keys.len(), all_keys().len() + 1, "{keys:?}");
    assert!(keys.contains(&"weave.color") && keys.contains(&"frob.color"));

    let output = user.run(["collector-config", "frob.toml", "nameless.toml"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("nameless.toml does not tell which tool"), "{}", output.stderr);
    let output = user.run(["collector-config", "frob.toml", "--tool", "weave"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("is that of the tool \"frob\", not of \"weave\""), "{}", output.stderr);
}

#[test]
fn a_collector_filters_before_it_batches() {
    let config = generate(GOOD, &["collector-config"]);
    let pipeline = &config["service"]["pipelines"]["traces"];
    assert_eq!(texts(&pipeline["receivers"]), ["otlp"]);
    assert_eq!(texts(&pipeline["processors"]), ["filter", "redaction", "batch"]);
    for (section, names) in
        [("receivers", "receivers"), ("processors", "processors"), ("exporters", "exporters")]
    {
        for name in texts(&pipeline[names]) {
            assert!(!config[section][name].is_badvalue(), "{section} {name} is defined");
        }
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
        .replace("\"phase\"", "\"a: 'b' #{c}\"");
    let config = generate(&hostile, &["collector-config"]);
    assert_eq!(texts(&config["processors"]["redaction"]["allowed_keys"]).len(), all_keys().len());
    assert!(conditions(&config).iter().any(|condition| condition.contains("span.name != \"a: 'b' #{c}\"")));
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
