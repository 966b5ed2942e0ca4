//! What a client's deeds do to its karma: qpsmtpd's plugins each have their `adjust_karma`, and each may be changed here.

/// Something that a client did, or that was found out about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// It sent a message that was taken.
    Message,
    /// The sender's domain says that it may send for it.
    SpfPass,
    /// Its name is its own, as far as that was asked.
    Name,
    /// It spoke before it was greeted.
    Pregreet,
    /// It made more errors, or tried more recipients, than it may.
    Limits,
    /// It wanted something sent elsewhere.
    Relay,
    /// It wrote to a recipient that is forbidden.
    BadRecipient,
    /// It wrote to a recipient that does not exist.
    Recipient,
    /// It is on a blocklist, or its sender's domain is.
    Listed,
    /// It did not know a password.
    Auth,
    /// Its name is forbidden, or a lie.
    Helo,
    /// Its sender is forbidden, is no address, or has no domain that takes mail.
    Sender,
    /// The sender's domain says that it may not send for it.
    SpfFail,
    /// Anything else that was refused for good.
    Protocol,
}

impl Deed {
    /// All of them, each with its name in the settings and its points where those do not say otherwise.
    pub const ALL: &'static [(Deed, &'static str, i32)] = &[
        (Deed::Message, "message", 1),
        (Deed::SpfPass, "spf_pass", 1),
        (Deed::Name, "name", 1),
        (Deed::Pregreet, "pregreet", -3),
        (Deed::Limits, "limits", -3),
        (Deed::Relay, "relay", -2),
        (Deed::BadRecipient, "bad_recipient", -2),
        (Deed::Recipient, "recipient", -1),
        (Deed::Listed, "listed", -1),
        (Deed::Auth, "auth", -1),
        (Deed::Helo, "helo", -1),
        (Deed::Sender, "sender", -1),
        (Deed::SpfFail, "spf_fail", -1),
        (Deed::Protocol, "protocol", -1),
    ];
}

/// The points of each deed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Those that are not the usual ones.
    changed: Vec<(Deed, i32)>,
}

impl Points {
    /// The usual points, but for these.
    pub fn new(changed: Vec<(Deed, i32)>) -> Self {
        Points { changed }
    }

    /// What a deed is worth.
    pub fn of(&self, deed: Deed) -> i32 {
        let changed = self.changed.iter().find(|(other, _)| *other == deed).map(|(_, points)| *points);
        let usual = || Deed::ALL.iter().find(|(other, ..)| *other == deed).map(|(_, _, points)| *points);
        changed.or_else(usual).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_is_worth_what_the_settings_say_or_the_usual() {
        let points = Points::new(vec![(Deed::Relay, -9)]);
        assert_eq!((points.of(Deed::Relay), points.of(Deed::Message), points.of(Deed::Auth)), (-9, 1, -1));
        for (deed, name, usual) in Deed::ALL {
            assert_eq!(Points::default().of(*deed), *usual, "{name}");
        }
    }
}
