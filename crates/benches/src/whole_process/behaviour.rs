//! How a receiver behaves.

use std::time::Duration;

use tool_telemetry_receiver::Answer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Immediate,
    After50Ms,
    After300Ms,
    /// Answers with status 503.
    Unavailable,
    /// Nothing listens on the port.
    Refused,
    /// Reads the request and never answers.
    Silent,
}

impl Behaviour {
    pub(crate) const ALL: [Self; 6] =
        [Self::Immediate, Self::After50Ms, Self::After300Ms, Self::Unavailable, Self::Refused, Self::Silent];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Immediate => "at once",
            Self::After50Ms => "after 50 ms",
            Self::After300Ms => "after 300 ms",
            Self::Unavailable => "503",
            Self::Refused => "refused",
            Self::Silent => "never",
        }
    }

    /// The delay of the answer, if there is one.
    pub(crate) fn delay(self) -> Duration {
        match self {
            Self::After50Ms => Duration::from_millis(50),
            Self::After300Ms => Duration::from_millis(300),
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Immediate | Self::Refused => Answer::Ok,
            Self::After50Ms | Self::After300Ms => Answer::Delay(self.delay()),
            Self::Unavailable => Answer::status(503),
            Self::Silent => Answer::Hang,
        }
    }
}
