//! The tool's own command about its telemetry.

use std::ffi::OsString;

/// The command as users type it: `frob telemetry`, `cargo frob telemetry`, or `frob --telemetry` in a tool without
/// subcommands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnCommand(pub(crate) &'static str);

impl OwnCommand {
    /// Whether it fits between backticks and is more than the name of a program.
    pub(crate) fn is_valid(self) -> bool {
        let mut words = self.0.split(' ');
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        words.clone().count() >= 2 && self.0.len() <= 64 && words.all(is_word)
    }

    /// Whether a process with these arguments, its own name first, runs this command.
    pub(crate) fn is_called(self, arguments: impl IntoIterator<Item = OsString>) -> bool {
        // Cargo passes `frob` to `cargo-frob` as its first argument.
        let mut arguments = arguments.into_iter().skip(1);
        self.0.split(' ').skip(1).all(|word| {
            if word.starts_with('-') {
                let mut options = arguments.by_ref().take_while(|argument| argument != "--");
                options.any(|option| {
                    let rest = option.as_encoded_bytes().strip_prefix(word.as_bytes());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
                })
            } else {
                arguments.next().is_some_and(|argument| argument == word)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OwnCommand;

    fn is_called(typed: &'static str, arguments: &str) -> bool {
        OwnCommand(typed).is_called(arguments.split(' ').map(Into::into))
    }

    #[test]
    fn a_subcommand_is_recognised_only_in_its_place() {
        assert!(is_called("frob telemetry", "frob telemetry"));
        assert!(is_called("frob telemetry", "/usr/bin/frob-1 telemetry of"));
        assert!(is_called("cargo frob telemetry", "cargo-frob frob telemetry on"));
        for other in ["frob", "frob build telemetry", "frob telemetry-x", "frob --telemetry"] {
            assert!(!is_called("frob telemetry", other), "{other}");
        }
        assert!(!is_called("cargo frob telemetry", "cargo-frob telemetry on"));
    }

    #[test]
    fn a_flag_is_recognised_among_the_options() {
        for called in ["frob --telemetry off", "frob --telemetry=off", "frob -v --telemetry of"] {
            assert!(is_called("frob --telemetry", called), "{called}");
        }
        for other in ["frob telemetry", "frob --telemetry-x", "frob -- --telemetry"] {
            assert!(!is_called("frob --telemetry", other), "{other}");
        }
    }

    #[test]
    fn a_command_is_two_or_more_plain_words() {
        for typed in ["frob telemetry", "cargo frob telemetry", "frob --telemetry", "frob2 tel_emetry.x"] {
            assert!(OwnCommand(typed).is_valid(), "{typed:?}");
        }
        for typed in ["", "telemetry", "frob  telemetry", " frob telemetry", "frob `rm`", "frob telemetry\n"]
        {
            assert!(!OwnCommand(typed).is_valid(), "{typed:?}");
        }
    }
}
