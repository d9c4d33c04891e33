//! The `data_points!` macro of [tool-telemetry](https://docs.rs/tool-telemetry), which exports it.

mod argument;
mod tables;

use std::path::Path;

use proc_macro::TokenStream;
use tool_telemetry_definition::Definition;

/// Makes the approved data points of a tool, a [`DataPoints`], from its `telemetry.toml` at compile time.
///
/// The path is relative to the folder of the package's `Cargo.toml`. It is a constant expression: put it into a
/// `static`. A change of the file builds the crate again.
///
/// # Errors
/// A file that cannot be read, or that says something which no definition may, does not compile; each fault is
/// listed with its line and what to do.
///
/// [`DataPoints`]: https://docs.rs/tool-telemetry/latest/tool_telemetry/struct.DataPoints.html
#[proc_macro]
pub fn data_points(input: TokenStream) -> TokenStream {
    let tokens: Vec<String> = input.into_iter().map(|token| token.to_string()).collect();
    let folder = std::env::var_os("CARGO_MANIFEST_DIR");
    let source = argument::path(&tokens)
        .and_then(|path| {
            let folder = folder.ok_or(
                "`CARGO_MANIFEST_DIR` is not set; build with cargo, or set it to the folder that \
                 the path is relative to",
            )?;
            expand(Path::new(&folder), &path)
        })
        .unwrap_or_else(|message| format!("::core::compile_error!({message:?})"));
    source.parse().unwrap_or_else(|_| TokenStream::new())
}

/// The source of the expression, or what a person must do so that there can be one.
fn expand(folder: &Path, path: &str) -> Result<String, String> {
    let full = folder.join(path);
    let text = std::fs::read_to_string(&full).map_err(|error| {
        format!(
            "{} cannot be read: {error}. Write the approved data points there, or give data_points! the path of the \
             file, relative to the folder of Cargo.toml.",
            full.display()
        )
    })?;
    let full = full
        .to_str()
        .ok_or_else(|| format!("{} is not UTF-8; use a folder whose name is", full.display()))?;
    let definition = Definition::parse(&text).map_err(|faults| {
        let mut message = format!("{path} cannot be used:");
        for fault in &faults {
            message.push_str(&format!("\n{path}:{}: {}", fault.line(), fault.message()));
        }
        message
    })?;
    Ok(tables::expression(&definition, full))
}

#[cfg(test)]
mod tests;
