//! The documents say what is there.

use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a document")
}

#[test]
fn each_promise_in_the_readme_names_a_test_that_exists() {
    let readme = read("README.md");
    let (_, table) = readme.split_once("## What happens when …").expect("the table");
    let modules = read("tests/it/main.rs");
    let soak = read("tests/soak/main.rs");
    let mut rows = 0;
    for row in table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| …") && !line.starts_with("| -"))
    {
        let shown_by = row.trim_end_matches('|').rsplit('|').next().expect("a third column");
        let names: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {row}");
        for name in names {
            let (module, test) = name.split_once("::").unwrap_or((name, ""));
            let is_module = modules.contains(&format!("mod {module};"));
            assert!(is_module || soak.contains(&format!("\"{name}\"")), "{name} is no test: {row}");
            if !test.is_empty() {
                let text = read(&format!("tests/it/{module}.rs"));
                assert!(text.contains(&format!("fn {test}()")), "{name} is no test: {row}");
            }
        }
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
}
