use std::fs;
use std::path::PathBuf;

use super::field_value::{self, Token};
use super::{argument, expand};

/// A new directory.
fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("data-points-{}-{name}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn path(tokens: &[&str]) -> Result<String, String> {
    argument::path(&tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>())
}

#[test]
fn each_error_is_listed_with_its_file_and_line() {
    let directory = directory("faulty");
    fs::create_dir_all(directory.join("data")).unwrap();
    fs::write(directory.join("data/telemetry.toml"), "format = 2\n\n[publisher]\nname = 7\n").unwrap();
    let message = expand(&directory, "data/telemetry.toml").unwrap_err();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "data/telemetry.toml has errors:");
    assert!(lines[1].starts_with("data/telemetry.toml:1: `format` is 2, "), "{message}");
    assert!(lines.contains(&"data/telemetry.toml:4: `name` is an integer; it must be a string in quotes"));
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_missing_file_is_reported_with_its_full_path() {
    let directory = directory("missing");
    let message = expand(&directory, "telemetry.toml").unwrap_err();
    let full = directory.join("telemetry.toml").display().to_string();
    assert!(message.starts_with(&format!("{full} cannot be read: ")), "{message}");
    assert!(message.contains("relative to the directory of Cargo.toml"), "{message}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_expression_includes_the_file() {
    let directory = directory("good");
    let file = directory.join("telemetry.toml");
    fs::write(&file, "format = 1").unwrap();
    let source = expand(&directory, "telemetry.toml").unwrap();
    let include = format!("::core::include_str!({:?})", file.to_str().unwrap());
    assert!(source.contains(&include), "{source}");
    fs::remove_dir_all(directory).unwrap();
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

fn word(text: &str) -> Token {
    Token::Word(text.to_owned())
}

/// The source for an enum with this body.
fn enum_of(body: Vec<Token>) -> Result<String, String> {
    field_value::expand(&[word("pub"), word("enum"), word("E"), Token::Group('{', body)])
}

#[test]
fn a_variant_is_recorded_as_clap_names_it() {
    let comma = || Token::Sign(',');
    let content = Token::Group('(', vec![word("String"), comma(), word("u8")]);
    let source =
        enum_of(vec![word("DryRun"), comma(), word("Net8"), content, comma(), word("JSON"), comma()]);
    let source = source.expect("an enum");
    for arm in ["E::DryRun { .. } => \"dry-run\"", "E::Net8 { .. } => \"net8\"", "E::JSON { .. } => \"json\""]
    {
        assert!(source.contains(arm), "{source}");
    }
}

#[test]
fn an_attribute_sets_the_text_of_a_variant() {
    let attribute = |content| [Token::Sign('#'), Token::Group('[', content)];
    let named = |text: &str| {
        let argument = Token::Group('(', vec![Token::Literal(text.to_owned())]);
        attribute(vec![word("field_value"), argument]).to_vec()
    };
    let documented = attribute(vec![word("doc"), Token::Sign('='), Token::Literal("\"x\"".to_owned())]);
    let body = [documented.to_vec(), named("\"net8.0\""), vec![word("Net8")]].concat();
    assert!(enum_of(body).expect("an enum").contains("E::Net8 { .. } => \"net8.0\""));
    assert!(enum_of([named("8"), vec![word("Net8")]].concat()).is_err());
}

#[test]
fn only_an_enum_without_parameters_can_be_derived() {
    let body = Token::Group('{', vec![word("a")]);
    assert!(field_value::expand(&[word("struct"), word("S"), body.clone()]).is_err());
    let generic = [word("enum"), word("E"), Token::Sign('<'), word("T"), Token::Sign('>'), body];
    assert!(field_value::expand(&generic).is_err());
    assert!(enum_of(Vec::new()).is_err());
}
