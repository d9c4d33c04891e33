//! The wire contract: generated code that agrees with `proto/`, and requests that go beyond it.

use std::path::Path;

/// The definitions, by their paths below `proto/`.
const PROTO_FILES: [&str; 1] = ["opentelemetry/proto/collector/trace/v1/trace_service.proto"];

/// To make the committed code anew after a change of `proto/`:
/// `TOOL_TELEMETRY_REGENERATE=1 cargo test --test it generated_code`.
const REGENERATE: &str = "TOOL_TELEMETRY_REGENERATE";

#[test]
fn generated_code_is_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/receiver/generated");
    let made = tempfile::tempdir().unwrap();
    let definitions = protox::compile(PROTO_FILES, [root.join("proto")]).unwrap();
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .out_dir(made.path())
        .compile_fds(definitions)
        .unwrap();

    let mut names = Vec::new();
    for entry in std::fs::read_dir(made.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let code = std::fs::read_to_string(made.path().join(&name)).unwrap();
        if std::env::var_os(REGENERATE).is_some() {
            std::fs::write(committed.join(&name), &code).unwrap();
        }
        // Line ends may have been changed by the checkout.
        let old = std::fs::read_to_string(committed.join(&name)).unwrap_or_default().replace("\r\n", "\n");
        assert!(
            old == code,
            "src/receiver/generated/{name} is not what proto/ says; run the test with {REGENERATE}=1 and commit"
        );
        names.push(name);
    }
    names.sort();
    let mut files: Vec<_> = std::fs::read_dir(&committed)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "mod.rs")
        .collect();
    files.sort();
    assert_eq!(files, names, "src/receiver/generated holds files that no definition makes");
}
