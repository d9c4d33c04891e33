//! The derive `FieldValue`: an enum whose variants are members of a closed list.

/// A variant, and the text that is recorded for it.
#[derive(Debug, PartialEq, Eq)]
struct Variant {
    name: String,
    text: String,
}

/// A token of the enum, with the content of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Word(String),
    Sign(char),
    Literal(String),
    Group(char, Vec<Token>),
}

/// The source of `From<Enum>` and `From<&Enum>` for `FieldValue`, or an error for the author.
pub(crate) fn expand(tokens: &[Token]) -> Result<String, String> {
    let mut rest = tokens;
    while !matches!(rest.first(), Some(Token::Word(word)) if word == "enum") {
        match rest {
            [Token::Word(word), ..] if word == "struct" || word == "union" => {
                return Err(format!(
                    "FieldValue is for enums, and this is a {word}; record its fields one by one"
                ));
            }
            [_, after @ ..] => rest = after,
            [] => return Err("FieldValue is for enums".to_owned()),
        }
    }
    let (name, body) = match rest {
        [_, Token::Word(name), Token::Group('{', body)] => (name, body),
        _ => return Err("FieldValue is for enums without generic parameters".to_owned()),
    };
    let variants = variants(body)?;
    if variants.is_empty() {
        return Err("FieldValue is for enums with a variant".to_owned());
    }
    let arms: String = variants
        .iter()
        .map(|variant| format!("{name}::{} {{ .. }} => {:?},", variant.name, variant.text))
        .collect();
    Ok(format!(
        "#[automatically_derived]
        impl ::core::convert::From<&{name}> for ::tool_telemetry::FieldValue<'static> {{
            fn from(value: &{name}) -> Self {{
                let text: &'static str = match value {{ {arms} }};
                ::core::convert::From::from(text)
            }}
        }}
        #[automatically_derived]
        impl ::core::convert::From<{name}> for ::tool_telemetry::FieldValue<'static> {{
            fn from(value: {name}) -> Self {{
                ::core::convert::From::from(&value)
            }}
        }}"
    ))
}

fn variants(body: &[Token]) -> Result<Vec<Variant>, String> {
    let mut variants = Vec::new();
    for tokens in body.split(|token| *token == Token::Sign(',')).filter(|tokens| !tokens.is_empty()) {
        let mut rest = tokens;
        let mut text = None;
        while let [Token::Sign('#'), Token::Group('[', attribute), after @ ..] = rest {
            if let Some(named) = named(attribute)? {
                text = Some(named);
            }
            rest = after;
        }
        let Some(Token::Word(name)) = rest.first() else {
            return Err("FieldValue does not understand this variant".to_owned());
        };
        let text = text.unwrap_or_else(|| kebab_case(name.trim_start_matches("r#")));
        variants.push(Variant { name: name.clone(), text });
    }
    Ok(variants)
}

/// The text of `#[field_value("…")]`. `None` for another attribute.
fn named(attribute: &[Token]) -> Result<Option<String>, String> {
    let [Token::Word(word), arguments @ ..] = attribute else { return Ok(None) };
    if word != "field_value" {
        return Ok(None);
    }
    if let [Token::Group('(', arguments)] = arguments
        && let [Token::Literal(literal)] = &arguments[..]
        && let Some(text) = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !text.contains('\\')
    {
        return Ok(Some(text.to_owned()));
    }
    Err("write the recorded text in quotes: #[field_value(\"net8.0\")]".to_owned())
}

/// `DryRun` becomes `dry-run`, as in clap. A capital begins a word unless it follows another one.
fn kebab_case(name: &str) -> String {
    let mut text = String::new();
    let mut previous_is_small = false;
    for letter in name.chars() {
        if letter == '_' {
            text.push('-');
            previous_is_small = false;
            continue;
        }
        if letter.is_uppercase() && previous_is_small {
            text.push('-');
        }
        previous_is_small = !letter.is_uppercase();
        text.extend(letter.to_lowercase());
    }
    text
}
