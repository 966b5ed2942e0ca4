//! `[page]`: whether bans can be lifted from the page, and by whom.

use std::fmt;
use std::path::PathBuf;

use settings::Table;

/// A token that is shorter can be guessed.
const BYTES_MIN: usize = 16;

/// What a reader of the page must know to lift a ban.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Whether this is it; how long it takes to tell says nothing of how much is right.
    pub fn is(&self, offered: &[u8]) -> bool {
        let own = self.0.as_bytes();
        own.len() == offered.len() && own.iter().zip(offered).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

/// `token_file`: where there is one, bans can be lifted from the page.
pub(super) fn token(table: &Table<'_>) -> Option<Token> {
    let path = table.document().directory().join(table.get::<PathBuf>("token_file")?);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= BYTES_MIN => Some(Token(text.trim().to_owned())),
        Ok(_) => {
            table.mistake("token_file", format!("{}: at least {BYTES_MIN} characters", path.display()));
            None
        }
        Err(error) => {
            table.mistake("token_file", format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_is_not_shown() {
        let token = Token("correct horse battery".to_owned());
        assert!(token.is(b"correct horse battery"));
        assert!(!token.is(b"correct horse batterY") && !token.is(b"correct horse") && !token.is(b""));
        assert_eq!(format!("{token:?}"), "Token(not shown)");
    }
}
