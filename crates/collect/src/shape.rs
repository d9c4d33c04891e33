//! All of a span that many spans have in common: its tool, its name, how it ended, and its attributes.
//!
//! A tool has few different shapes, and a row keeps each once. What tells two spans of a shape apart are their ids,
//! their hour, and their duration.

pub use tool_telemetry_definition::Period;
pub use tool_telemetry_receiver::wire::Status;

use crate::varint;

/// The resource attribute with the content hash of the telemetry.toml that a run was recorded under.
pub const HASH_KEY: &str = "tool_telemetry.data_points";

/// What a span is to its tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The run itself.
    Run,
    /// A step of a run.
    Step,
    /// "On one installation, in this period, this cell occurred."
    Count(Period),
}

impl Role {
    /// Whether it is a count.
    pub fn is_count(self) -> bool {
        matches!(self, Self::Count(_))
    }

    fn number(self) -> u8 {
        match self {
            Self::Run => 0,
            Self::Step => 1,
            Self::Count(Period::Week) => 2,
            Self::Count(Period::FourWeeks) => 3,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        let roles = [Self::Run, Self::Step, Self::Count(Period::Week), Self::Count(Period::FourWeeks)];
        roles.get(usize::from(number)).copied()
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text from a closed list, a version, or a moniker.
    Text(&'a str),
    /// A flag.
    Bool(bool),
    /// A whole number.
    Int(i64),
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(number) => write!(f, "{number}"),
        }
    }
}

/// A shape in its canonical bytes: equal shapes are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    bytes: Box<[u8]>,
    /// The number of the role, which is also in the bytes, behind the resource.
    role: u8,
}

/// Keys and values, in the order received.
pub type Attributes<'a> = Vec<(&'a str, Value<'a>)>;

/// What a shape holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeContent<'a> {
    /// The attributes of the resource; `service.name` is the first.
    pub resource: Attributes<'a>,
    /// What the span is to its tool.
    pub role: Role,
    /// How it ended.
    pub status: Status,
    /// OTLP's flags.
    pub flags: u32,
    /// The span's name.
    pub name: &'a str,
    /// The span's attributes.
    pub attributes: Attributes<'a>,
}

impl Shape {
    /// Packs a content.
    pub fn new(content: &ShapeContent<'_>) -> Self {
        let mut bytes = Vec::with_capacity(256);
        put_attributes(&mut bytes, &content.resource);
        bytes.push(content.role.number() | (content.status as u8) << 4);
        varint::put(&mut bytes, u64::from(content.flags));
        varint::put_bytes(&mut bytes, content.name.as_bytes());
        put_attributes(&mut bytes, &content.attributes);
        Self { bytes: bytes.into(), role: content.role.number() }
    }

    /// The shape in bytes that [`Shape::as_bytes`] gave, or nothing if they are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let role = try_content(bytes)?.role.number();
        Some(Self { bytes: bytes.into(), role })
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it holds.
    pub fn content(&self) -> ShapeContent<'_> {
        try_content(&self.bytes).expect("the bytes were packed or checked by this module")
    }

    /// What the span is to its tool.
    pub fn role(&self) -> Role {
        Role::of_number(self.role).expect("the number is that of a role")
    }
}

fn try_content(mut bytes: &[u8]) -> Option<ShapeContent<'_>> {
    let resource = take_attributes(&mut bytes)?;
    let head = *bytes.split_off_first()?;
    let content = ShapeContent {
        resource,
        role: Role::of_number(head & 0x0f)?,
        status: match head >> 4 {
            0 => Status::Unset,
            1 => Status::Ok,
            2 => Status::Error,
            _ => return None,
        },
        flags: u32::try_from(varint::take(&mut bytes)?).ok()?,
        name: varint::take_text(&mut bytes)?,
        attributes: take_attributes(&mut bytes)?,
    };
    bytes.is_empty().then_some(content)
}

impl ShapeContent<'_> {
    /// `service.name`.
    pub fn tool(&self) -> &str {
        self.resource_text("service.name")
    }

    /// `service.version`, or nothing if the tool did not report one.
    pub fn version(&self) -> &str {
        self.resource_text("service.version")
    }

    /// The content hash of the telemetry.toml that the span was recorded under, if it carries one.
    pub fn data_points(&self) -> Option<[u8; 16]> {
        let text = self.resource_text(HASH_KEY);
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).map(u128::to_be_bytes).ok()).flatten()
    }

    fn resource_text(&self, key: &str) -> &str {
        match self.resource.iter().find(|(name, _)| *name == key) {
            Some((_, Value::Text(text))) => text,
            _ => "",
        }
    }
}

fn put_attributes(out: &mut Vec<u8>, attributes: &[(&str, Value<'_>)]) {
    varint::put(out, attributes.len() as u64);
    for (key, value) in attributes {
        varint::put_bytes(out, key.as_bytes());
        match value {
            Value::Text(text) => {
                out.push(0);
                varint::put_bytes(out, text.as_bytes());
            }
            Value::Bool(flag) => out.push(1 + u8::from(*flag)),
            Value::Int(number) => {
                out.push(3);
                varint::put_signed(out, *number);
            }
        }
    }
}

fn take_attributes<'a>(bytes: &mut &'a [u8]) -> Option<Attributes<'a>> {
    let count = usize::try_from(varint::take(bytes)?).ok()?;
    // Each takes two bytes at least, so damaged bytes cannot reserve much.
    let mut attributes = Vec::with_capacity(count.min(bytes.len() / 2));
    for _ in 0..count {
        let key = varint::take_text(bytes)?;
        let value = match bytes.split_off_first()? {
            0 => Value::Text(varint::take_text(bytes)?),
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(varint::take_signed(bytes)?),
            _ => return None,
        };
        attributes.push((key, value));
    }
    Some(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> ShapeContent<'static> {
        ShapeContent {
            resource: vec![("service.name", Value::Text("frob")), ("service.version", Value::Text("1.2.0"))],
            role: Role::Run,
            status: Status::Error,
            flags: 0x301,
            name: "frob",
            attributes: vec![
                ("frob.command", Value::Text("build")),
                ("process.exit.code", Value::Int(-1)),
                ("frob.cached", Value::Bool(true)),
            ],
        }
    }

    #[test]
    fn a_shape_holds_what_was_put_in() {
        let content = content();
        let shape = Shape::new(&content);
        assert_eq!(shape.content(), content);
        assert_eq!((content.tool(), content.version()), ("frob", "1.2.0"));
        for role in [Role::Run, Role::Step, Role::Count(Period::Week), Role::Count(Period::FourWeeks)] {
            let resource = vec![("a", Value::Bool(true)), ("b", Value::Int(-300)), ("c", Value::Text("d"))];
            let shape = Shape::new(&ShapeContent { role, resource, ..content.clone() });
            assert_eq!((shape.role(), shape.content().role), (role, role));
        }
        assert_eq!(Shape::from_bytes(shape.as_bytes()), Some(shape));
    }

    #[test]
    fn damaged_bytes_are_no_shape() {
        let shape = Shape::new(&content());
        for length in 0..shape.as_bytes().len() {
            assert_eq!(Shape::from_bytes(&shape.as_bytes()[..length]), None, "{length}");
        }
        let mut longer = shape.as_bytes().to_vec();
        longer.push(0);
        assert_eq!(Shape::from_bytes(&longer), None);
    }
}
