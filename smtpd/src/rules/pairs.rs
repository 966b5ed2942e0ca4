//! Who may not write to whom: `badmailfromto`, a sender's entry and a recipient's in each line.
//!
//! ```text
//! @shop.example       alice@example.org
//! *@*.lottery.example @example.org
//! ```

use std::str::FromStr;

use super::pattern::Pattern;

/// The lines of the list.
#[derive(Clone, Debug, Default)]
pub struct Pairs(Vec<Pair>);

/// One line.
#[derive(Clone, Debug)]
pub struct Pair {
    text: String,
    sender: Pattern,
    recipient: Pattern,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (Some(sender), Some(recipient), None) = (words.next(), words.next(), words.next()) else {
            return Err("expected a sender and a recipient with a space between them".to_owned());
        };
        Ok(Pair {
            text: format!("{sender} {recipient}"),
            sender: sender.parse()?,
            recipient: recipient.parse()?,
        })
    }
}

impl Pairs {
    /// A list of lines.
    pub fn new(pairs: Vec<Pair>) -> Self {
        Pairs(pairs)
    }

    /// The first line that forbids this mail, as it was written.
    pub fn forbidding(&self, sender: &[u8], recipient: &[u8]) -> Option<&str> {
        let pair =
            self.0.iter().find(|pair| pair.sender.forbids(sender) && pair.recipient.forbids(recipient));
        pair.map(|pair| pair.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_forbids_one_to_write_to_the_other_and_nobody_else() {
        let lines = ["@shop.example\talice@example.org", "!*@example.org  boss@example.org"];
        let pairs = Pairs::new(lines.map(|line| line.parse().unwrap()).to_vec());
        for (sender, recipient, line) in [
            ("news@shop.example", "Alice@example.org", Some("@shop.example alice@example.org")),
            ("news@shop.example", "bob@example.org", None),
            ("a@other.example", "alice@example.org", None),
            ("a@other.example", "boss@example.org", Some("!*@example.org boss@example.org")),
            ("alice@example.org", "boss@example.org", None),
        ] {
            assert_eq!(pairs.forbidding(sender.as_bytes(), recipient.as_bytes()), line, "{sender}");
        }
        for line in ["", "a@b.example", "a@b.example c@d.example e", "( a@b.example"] {
            assert!(line.parse::<Pair>().is_err(), "{line}");
        }
    }
}
