//! The only place where a field's value is read. Every `record_*` method leads to one that checks the allowlist.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

use crate::model::data_points::{DataPoint, DataPoints, Value};
use crate::model::field_value::ValueType;
use crate::record::call_sites::CallSite;
use crate::record::omissions::Omissions;

/// Collects the approved fields of a span. Other fields are never read or formatted.
pub(crate) struct Visitor<'a> {
    data_points: &'static DataPoints,
    omissions: Option<&'a Omissions>,
    call_site: &'a CallSite,
    values: &'a mut Vec<(u8, Value)>,
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(
        data_points: &'static DataPoints,
        omissions: Option<&'a Omissions>,
        call_site: &'a CallSite,
        values: &'a mut Vec<(u8, Value)>,
    ) -> Self {
        Self { data_points, omissions, call_site, values }
    }

    /// Records the value of a field, if the field is approved and the value is admitted.
    fn record(&mut self, field: &Field, offered: ValueType, admit: impl FnOnce(&DataPoint) -> Option<Value>) {
        let position = self.call_site.data_point(field);
        let Some(position) = position else { return self.leave_out(field, offered, None) };
        let admitted = admit(&self.data_points.data_points[usize::from(position)]);
        let Some(value) = admitted else { return self.leave_out(field, offered, None) };
        if value == Value::Other {
            self.leave_out(field, offered, Some(value));
        }
        match self.values.iter_mut().find(|(old, _)| *old == position) {
            Some((_, old)) => *old = value,
            None => self.values.push((position, value)),
        }
    }

    fn leave_out(&self, field: &Field, offered: ValueType, admitted: Option<Value>) {
        if let Some(omissions) = self.omissions {
            omissions.add_value(Some(self.call_site.span), field.name(), offered, admitted);
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, ValueType::Bool, |data_point| data_point.admit_bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, ValueType::Integer, |data_point| data_point.admit_integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, ValueType::Integer, |data_point| data_point.admit_integer(value.try_into().ok()?));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.record(field, ValueType::Integer, |data_point| data_point.admit_integer(value.try_into().ok()?));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record(field, ValueType::Integer, |data_point| data_point.admit_integer(value.try_into().ok()?));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, ValueType::Text, |data_point| data_point.admit_text(value));
    }

    /// Fields with `%` and `?`. They are formatted only if the field is approved, up to the length of the longest value.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, ValueType::Text, |data_point| {
            let mut text = ShortText::default();
            // An error means that the text is too long to be in a closed list.
            let _ = write!(text, "{value:?}");
            data_point.admit_text(text.as_str())
        });
    }

    /// No data point is a fraction.
    fn record_f64(&mut self, field: &Field, _value: f64) {
        self.leave_out(field, ValueType::Fraction, None);
    }

    /// Errors are free text.
    fn record_error(&mut self, field: &Field, _value: &(dyn std::error::Error + 'static)) {
        self.leave_out(field, ValueType::Error, None);
    }
}

/// Longer than any member of a closed list.
const MAX_TEXT: usize = 64;

/// A text on the stack that stops formatting when it is full.
struct ShortText {
    bytes: [u8; MAX_TEXT + 1],
    length: usize,
}

impl Default for ShortText {
    fn default() -> Self {
        Self { bytes: [0; MAX_TEXT + 1], length: 0 }
    }
}

impl ShortText {
    /// One byte more than the longest member is kept, so the beginning of a longer text equals no member.
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.length;
        let taken = text.len().min(room);
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        if taken < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
