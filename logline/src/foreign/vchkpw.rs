//! What vchkpw says of a login (vpopmail vchkpw.c:main, login_virtual_user, login_system_user, vlog).
//!
//! The address stands at the very end. Before it stands a name, which is checked for its characters in most lines and raw
//! in some, and, where the administrator asked for it, the password.

use std::net::{IpAddr, Ipv6Addr};

use crate::Text;
use crate::scan::{self, Scan};

/// `vchkpw-SERVICE: EVENT NAME:IP`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vchkpw<'a> {
    /// `smtp`, `submission`, `pop3`, … or a port.
    pub service: Text<'a>,
    /// What happened.
    pub outcome: VchkpwOutcome,
    /// How the password was sent, where a success tells it.
    pub mechanism: Option<Text<'a>>,
    /// Who the client said it was.
    pub user: Text<'a>,
    /// The client's address.
    pub address: IpAddr,
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $words:literal, $name:ident;)*) => {
        /// The closed list of what vchkpw says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum VchkpwOutcome { $($(#[$doc])* $variant,)* }

        impl VchkpwOutcome {
            /// All of them; a longer text stands before one that it begins with.
            pub const ALL: &'static [VchkpwOutcome] = &[$(VchkpwOutcome::$variant,)*];

            /// The words as a log line has them.
            pub const fn words(self) -> &'static str {
                match self { $(VchkpwOutcome::$variant => $words,)* }
            }

            const fn name(self) -> Name {
                match self { $(VchkpwOutcome::$variant => Name::$name,)* }
            }
        }
    };
}

/// How far the name in a line was checked before it was written.
#[derive(Clone, Copy, PartialEq)]
enum Name {
    /// Neither space nor colon nor quote.
    Checked,
    /// Any byte.
    Raw,
}

outcomes! {
    /// The password was wrong.
    PasswordFail = "password fail", Checked;
    /// There is no such user.
    UserNotFound = "vpopmail user not found", Checked;
    /// The name holds what no name may hold.
    InvalidCharacters = "invalid user/domain characters", Raw;
    /// No name was given.
    NullUser = "null user name given", Raw;
    /// No password was given.
    NullPassword = "null password given", Raw;
    /// The user has no password.
    NoPassword = "user has no password", Checked;
    /// The password was right, but the user may not use POP.
    PopDenied = "pop access denied", Checked;
    /// The password was right, but the user may not use SMTP.
    SmtpDenied = "smtp access denied", Checked;
    /// The password was right, but the user may not use IMAP.
    ImapDenied = "imap access denied", Checked;
    /// The password was right, but the user may not use webmail.
    WebmailDenied = "webmail access denied", Checked;
    /// The host has no such user.
    SystemUserNotFound = "system user not found", Raw;
    /// The host knows no password of the user.
    SystemShadowNotFound = "system user shadow entry not found", Raw;
    /// The password of a user of the host was wrong.
    SystemPasswordFail = "system password fail", Raw;
    /// A user of the host is in.
    SystemLogin = "system password login success", Raw;
    /// The user's directory could not be made.
    NoDirectory = "dir auto create failed", Checked;
    /// A user is in.
    Login = "login success", Checked;
}

impl<'a> Vchkpw<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        line.literal(b"vchkpw-")?;
        let service = line.until(b':')?;
        line.literal(b" ")?;
        if service.is_empty() || !service.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mechanism = mechanism(&mut line);
        let outcome = *VchkpwOutcome::ALL.iter().find(|outcome| {
            let rest = line.0.strip_prefix(outcome.words().as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b" "))
        })?;
        if mechanism.is_some() != (outcome == VchkpwOutcome::Login) {
            return None;
        }
        line.literal(outcome.words().as_bytes())?;
        line.literal(b" ")?;
        let who = match line.0.strip_prefix(b"(pass: '") {
            // A password may hold these words too; a name cannot, so the last ones are vchkpw's.
            Some(rest) => scan::rsplit_once(rest, b"') ")?.1,
            None => line.0,
        };
        let (user, address) = match outcome.name() {
            Name::Checked => checked(who)?,
            Name::Raw => raw(who)?,
        };
        Some(Vchkpw { service: Text::from(service), outcome, mechanism, user: Text::from(user), address })
    }
}

/// `(PLAIN) ` before `login success`.
fn mechanism<'a>(line: &mut Scan<'a>) -> Option<Text<'a>> {
    let mut rest = *line;
    rest.literal(b"(")?;
    let name = rest.until(b')')?;
    rest.literal(b" ")?;
    if !matches!(name, b"PLAIN" | b"CRAM-MD5" | b"APOP") {
        return None;
    }
    *line = rest;
    Some(Text::from(name))
}

/// A checked name holds no colon: all that follows the first one is the address.
fn checked(who: &[u8]) -> Option<(&[u8], IpAddr)> {
    let (name, address) = scan::split_once(who, b":")?;
    if name.contains(&b' ') {
        return None;
    }
    Some((name, read(address)?))
}

/// A raw name may end in what reads as the beginning of an address, so the address is taken by what vchkpw can have
/// written: IPv4; IPv6 with `_` for `:`; or IPv6 that was too long for that, which has all its eight groups.
fn raw(who: &[u8]) -> Option<(&[u8], IpAddr)> {
    let (name, last) = scan::rsplit_once(who, b":")?;
    if last.contains(&b'.') || last.contains(&b'_') {
        return Some((name, read(last)?));
    }
    let start = who.iter().rposition({
        let mut colons = 0;
        move |byte| {
            colons += u32::from(*byte == b':');
            colons == 8
        }
    })?;
    let (name, address) = who.split_at_checked(start)?;
    Some((name, read(address.strip_prefix(b":")?)?))
}

/// vchkpw writes `_` for each byte of an IPv6 address that it does not know, up to 30 bytes of text.
fn read(text: &[u8]) -> Option<IpAddr> {
    if !text.contains(&b'_') {
        return scan::address(text);
    }
    let mut colons = [0u8; 30];
    let room = colons.get_mut(..text.len())?;
    for (colon, byte) in room.iter_mut().zip(text) {
        *colon = if *byte == b'_' { b':' } else { *byte };
    }
    std::str::from_utf8(room).ok()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}
