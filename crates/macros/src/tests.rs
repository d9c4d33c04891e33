use std::fs;
use std::path::PathBuf;

use super::{argument, expand};

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("data-points-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn path(tokens: &[&str]) -> Result<String, String> {
    argument::path(&tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>())
}

#[test]
fn each_fault_is_listed_with_the_file_and_the_line() {
    let folder = folder("faulty");
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("data/telemetry.toml"), "format = 2\n\n[publisher]\nname = 7\n").unwrap();
    let message = expand(&folder, "data/telemetry.toml").unwrap_err();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "data/telemetry.toml cannot be used:");
    assert!(lines[1].starts_with("data/telemetry.toml:1: `format` is 2; "), "{message}");
    assert!(lines.contains(&"data/telemetry.toml:4: `name` is a whole number; it must be a text in quotes"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_missing_file_is_named_with_its_full_path() {
    let folder = folder("missing");
    let message = expand(&folder, "telemetry.toml").unwrap_err();
    let full = folder.join("telemetry.toml").display().to_string();
    assert!(message.starts_with(&format!("{full} cannot be read: ")), "{message}");
    assert!(message.contains("relative to the folder of Cargo.toml"), "{message}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_expression_depends_on_the_file() {
    let folder = folder("good");
    let file = folder.join("telemetry.toml");
    fs::write(&file, "format = 1").unwrap();
    let source = expand(&folder, "telemetry.toml").unwrap();
    let include = format!("::core::include_str!({:?})", file.to_str().unwrap());
    assert!(source.contains(&include), "{source}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_argument_is_one_path_in_quotes() {
    for tokens in [
        &["\"telemetry.toml\""][..],
        &["\"telemetry.toml\"", ","],
        &["r\"telemetry.toml\""],
        &["r#\"telemetry.toml\"#"],
    ] {
        assert_eq!(path(tokens).as_deref(), Ok("telemetry.toml"), "{tokens:?}");
    }
    for tokens in [
        &[][..],
        &["telemetry"],
        &["\"\""],
        &["b\"telemetry.toml\""],
        &["\"a\\u{62}\""],
        &["\"a\"", "\"b\""],
        &["1"],
    ] {
        let message = path(tokens).unwrap_err();
        assert!(message.ends_with("write data_points!(\"telemetry.toml\")"), "{tokens:?}: {message}");
    }
}
