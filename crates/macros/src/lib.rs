//! The macros of [tool-telemetry](https://docs.rs/tool-telemetry), which exports them: `data_points!` and the derive
//! `FieldValue`.

mod argument;
mod field_value;
mod tables;

use std::path::Path;

use proc_macro::{Delimiter, TokenStream, TokenTree};
use tool_telemetry_definition::DataPoints;

use field_value::Token;

/// Makes the approved data points of a tool, a [`DataPoints`], from its `telemetry.toml` at compile time.
///
/// The path is relative to the directory of the package's `Cargo.toml`. The result is a constant expression for a
/// `static`. When the file changes, the crate is rebuilt.
///
/// # Errors
/// A missing or invalid file does not compile. Each error is listed with its line and what to do.
///
/// [`DataPoints`]: https://docs.rs/tool-telemetry/latest/tool_telemetry/struct.DataPoints.html
#[proc_macro]
pub fn data_points(input: TokenStream) -> TokenStream {
    let tokens: Vec<String> = input.into_iter().map(|token| token.to_string()).collect();
    let directory = std::env::var_os("CARGO_MANIFEST_DIR");
    let source = argument::path(&tokens)
        .and_then(|path| {
            let directory = directory.ok_or(
                "`CARGO_MANIFEST_DIR` is not set; build with cargo, or set it to the directory that the path is relative to",
            )?;
            expand(Path::new(&directory), &path)
        })
        .unwrap_or_else(|message| format!("::core::compile_error!({message:?})"));
    source.parse().unwrap_or_else(|_| TokenStream::new())
}

/// Makes an enum a value for `Telemetry::record`. A variant is recorded as its name in lower case, with `-` between words,
/// as clap names it: `DryRun` as `dry-run`. `#[field_value("…")]` on a variant sets another text. What a variant contains is
/// never read.
///
/// The texts must be in `values` of the data point; any other becomes `other`.
///
/// # Errors
/// Anything but an enum without generic parameters does not compile.
#[proc_macro_derive(FieldValue, attributes(field_value))]
pub fn field_value(input: TokenStream) -> TokenStream {
    let source = field_value::expand(&tokens(input))
        .unwrap_or_else(|message| format!("::core::compile_error!({message:?});"));
    source.parse().unwrap_or_else(|_| TokenStream::new())
}

/// The compiler's tokens, which do not exist outside of it, as our own.
fn tokens(input: TokenStream) -> Vec<Token> {
    let token = |tree| match tree {
        TokenTree::Ident(word) => Token::Word(word.to_string()),
        TokenTree::Punct(sign) => Token::Sign(sign.as_char()),
        TokenTree::Literal(literal) => Token::Literal(literal.to_string()),
        TokenTree::Group(group) => {
            let bracket = match group.delimiter() {
                Delimiter::Brace => '{',
                Delimiter::Bracket => '[',
                Delimiter::Parenthesis => '(',
                Delimiter::None => ' ',
            };
            Token::Group(bracket, tokens(group.stream()))
        }
    };
    input.into_iter().map(token).collect()
}

/// The source of the expression, or an error for the author.
fn expand(directory: &Path, path: &str) -> Result<String, String> {
    let full = directory.join(path);
    let text = std::fs::read_to_string(&full).map_err(|error| {
        format!(
            "{} cannot be read: {error}. Create it, or give data_points! the path of the file, relative to the directory of \
             Cargo.toml.",
            full.display()
        )
    })?;
    let full = full
        .to_str()
        .ok_or_else(|| format!("the path {} is not UTF-8; rename its directories", full.display()))?;
    let data_points = DataPoints::parse(&text).map_err(|errors| {
        let mut message = format!("{path} has errors:");
        for error in &errors {
            message.push_str(&format!("\n{path}:{}: {}", error.line(), error.message()));
        }
        message
    })?;
    Ok(tables::expression(data_points, full))
}

#[cfg(test)]
mod tests;
