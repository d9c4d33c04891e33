use crate::program::{GOOD, Person};

#[test]
fn a_usage_error_exits_with_2() {
    let person = Person::new();
    person.file("telemetry.toml", GOOD);
    for arguments in [
        &[][..],
        &["look"],
        &["check"],
        &["document", "telemetry.toml", "poem"],
        &["document", "telemetry.toml", "privacy"],
        &["document", "telemetry.toml", "privacy", "--tool", "../frob"],
        &["document", "telemetry.toml", "privacy", "--tool", "frob", "--opt-out-var", "A B"],
        &["document", "telemetry.toml", "privacy", "--tool", "frob", "--endpoint", "<script>"],
    ] {
        let said = person.says(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_command_explains_itself() {
    let person = Person::new();
    for command in [
        "status",
        "on",
        "off",
        "show",
        "flush",
        "purge",
        "view",
        "check",
        "document",
        "collector-config",
        "registry",
    ] {
        let said = person.says([command, "--help"]);
        assert_eq!(said.code, 0);
        assert!(said.out.contains("Usage: tool-telemetry"), "{command}");
    }
}
