//! SPF (RFC 7208): what follows from its result, as qmail's `spfbehavior` has it.
//!
//! | behaviour | refuses |
//! |---|---|
//! | 0 | nothing, and asks nobody |
//! | 1 | nothing; the result stands in the header |
//! | 2 | puts off where name servers do not answer |
//! | 3 | and `fail` |
//! | 4 | and `softfail` |
//! | 5 | and `neutral` |
//! | 6 | and no record, or a broken one |

use std::fmt;

/// How strict, from 0 to 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpfBehavior(u8);

/// What a domain says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfResult {
    /// It may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It may not, perhaps.
    SoftFail,
    /// The domain does not say.
    Neutral,
    /// There is no record.
    None,
    /// The record is broken.
    Unknown,
    /// No name server could say.
    Error,
}

/// What was found, and what the domain wants to be told to whom it does not let send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpfFinding {
    /// The result.
    pub result: SpfResult,
    /// The domain's own words, printable.
    pub explanation: Option<String>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfVerdict {
    /// Nothing.
    Take,
    /// Come again.
    PutOff,
    /// Go away.
    Refuse,
}

impl SpfResult {
    /// All of them.
    pub const ALL: &'static [SpfResult] = &[
        SpfResult::Pass,
        SpfResult::Fail,
        SpfResult::SoftFail,
        SpfResult::Neutral,
        SpfResult::None,
        SpfResult::Unknown,
        SpfResult::Error,
    ];

    /// The name, in qmail's words, for journal and header.
    pub const fn name(self) -> &'static str {
        match self {
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::Neutral => "neutral",
            SpfResult::None => "none",
            SpfResult::Unknown => "unknown",
            SpfResult::Error => "error",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SpfBehavior {
    /// A number from 0 to 6.
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number <= 6).map(SpfBehavior)
    }

    /// Whether anybody is asked.
    pub fn asks(self) -> bool {
        self.0 > 0
    }

    /// What follows from a result.
    pub fn judge(self, result: SpfResult) -> SpfVerdict {
        let (from, verdict) = match result {
            SpfResult::Pass => return SpfVerdict::Take,
            SpfResult::Error => (2, SpfVerdict::PutOff),
            SpfResult::Fail => (3, SpfVerdict::Refuse),
            SpfResult::SoftFail => (4, SpfVerdict::Refuse),
            SpfResult::Neutral => (5, SpfVerdict::Refuse),
            SpfResult::None | SpfResult::Unknown => (6, SpfVerdict::Refuse),
        };
        if self.0 >= from { verdict } else { SpfVerdict::Take }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_refuses_one_thing_more() {
        let refused = |behavior: u64| -> String {
            let behavior = SpfBehavior::new(behavior).unwrap();
            let refused = SpfResult::ALL.iter().filter(|result| behavior.judge(**result) != SpfVerdict::Take);
            refused.map(|result| result.name()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(refused(0), "");
        assert_eq!(refused(1), "");
        assert_eq!(refused(2), "error");
        assert_eq!(refused(3), "fail error");
        assert_eq!(refused(4), "fail softfail error");
        assert_eq!(refused(5), "fail softfail neutral error");
        assert_eq!(refused(6), "fail softfail neutral none unknown error");
        assert_eq!(SpfBehavior::new(7), None);
        assert!(!SpfBehavior::default().asks());
    }
}
