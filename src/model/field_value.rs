//! [`FieldValue`]: a value that the tool's code offers for a data point.

use std::borrow::Cow;

use super::data_points::{DataPoint, Value};

/// A value for [`Telemetry::record`](crate::Telemetry::record): a flag, an integer of any type, a text, or nothing. The
/// allowlist applies to all of them.
///
/// | from | what is recorded |
/// | --- | --- |
/// | `bool` | the flag |
/// | every integer type | the number |
/// | `&str`, `String`, `&String`, `Cow<str>` | the text, if it is in the data point's closed list |
/// | `Option<T>` | the value, or nothing for `None` |
/// | an enum that derives [`FieldValue`](macro@crate::FieldValue) | the variant's name |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue<'a>(Option<Content<'a>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content<'a> {
    Bool(bool),
    Integer(i128),
    Text(Cow<'a, str>),
}

/// The type of a value in the tool's code. A closed list is recorded as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Bool,
    Integer,
    Fraction,
    Text,
    Error,
}

impl FieldValue<'_> {
    /// The type of the value, or `None` if there is nothing to record.
    pub(crate) fn value_type(&self) -> Option<ValueType> {
        self.0.as_ref().map(|content| match content {
            Content::Bool(_) => ValueType::Bool,
            Content::Integer(_) => ValueType::Integer,
            Content::Text(_) => ValueType::Text,
        })
    }

    pub(crate) fn admit(&self, data_point: &DataPoint) -> Option<Value> {
        match self.0.as_ref()? {
            Content::Bool(flag) => data_point.admit_bool(*flag),
            Content::Integer(number) => data_point.admit_integer(i64::try_from(*number).ok()?),
            Content::Text(text) => data_point.admit_text(text),
        }
    }
}

impl From<bool> for FieldValue<'_> {
    fn from(flag: bool) -> Self {
        Self(Some(Content::Bool(flag)))
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {
        $(impl From<$integer> for FieldValue<'_> {
            fn from(number: $integer) -> Self {
                Self(Some(Content::Integer(number as i128)))
            }
        })*
    };
}

from_integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 usize);

impl From<u128> for FieldValue<'_> {
    /// A number that does not fit into 128 bits with a sign is out of every range.
    fn from(number: u128) -> Self {
        Self(Some(Content::Integer(i128::try_from(number).unwrap_or(i128::MAX))))
    }
}

impl<'a> From<Cow<'a, str>> for FieldValue<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(Some(Content::Text(text)))
    }
}

impl<'a> From<&'a str> for FieldValue<'a> {
    fn from(text: &'a str) -> Self {
        Cow::Borrowed(text).into()
    }
}

impl<'a> From<&'a String> for FieldValue<'a> {
    fn from(text: &'a String) -> Self {
        Cow::Borrowed(text.as_str()).into()
    }
}

impl From<String> for FieldValue<'_> {
    fn from(text: String) -> Self {
        Cow::<str>::Owned(text).into()
    }
}

impl<'a, T: Into<FieldValue<'a>>> From<Option<T>> for FieldValue<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(None), Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::data_points::{Audience, Kind, Version};

    fn admitted<'a>(kind: Kind, value: impl Into<FieldValue<'a>>) -> Option<Value> {
        let data_point = DataPoint {
            key: "frob.key",
            sentence: "A test",
            why: "to test",
            kind,
            audience: Audience::Maker,
            since: Version::new(1, 0, 0),
            until: None,
        };
        value.into().admit(&data_point)
    }

    #[test]
    fn every_integer_type_is_a_number() {
        let of_seven = [
            FieldValue::from(7_i8),
            7_i16.into(),
            7_i32.into(),
            7_i64.into(),
            7_i128.into(),
            7_isize.into(),
            7_u8.into(),
            7_u16.into(),
            7_u32.into(),
            7_u64.into(),
            7_u128.into(),
            7_usize.into(),
        ];
        for value in of_seven {
            assert_eq!(admitted(Kind::Integer { min: 0, max: 9 }, value), Some(Value::Integer(7)));
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_out_of_range() {
        let widest = Kind::Integer { min: i64::MAX - 9, max: i64::MAX };
        assert_eq!(admitted(widest, i64::MAX), Some(Value::Integer(i64::MAX)));
        assert_eq!(admitted(widest, u64::MAX), None);
        assert_eq!(admitted(widest, u128::MAX), None);
        assert_eq!(admitted(Kind::Integer { min: i64::MIN, max: i64::MIN + 9 }, i128::MIN), None);
    }

    #[test]
    fn texts_are_members_of_the_list() {
        let set = Kind::Set(&["auto", "never"]);
        let owned = "never".to_owned();
        assert_eq!(admitted(set, &owned), Some(Value::Member(1)));
        assert_eq!(admitted(set, Cow::Borrowed("never")), Some(Value::Member(1)));
        assert_eq!(admitted(set, owned), Some(Value::Member(1)));
    }

    #[test]
    fn none_records_nothing() {
        assert_eq!(admitted(Kind::Bool, None::<bool>), None);
        assert_eq!(FieldValue::from(None::<&str>).value_type(), None);
        assert_eq!(admitted(Kind::Bool, Some(true)), Some(Value::Bool(true)));
        assert_eq!(admitted(Kind::Set(&["auto"]), Some("else")), Some(Value::Other));
    }
}
