//! What a program says beside its exit code: a line of text on a descriptor that is its own for that, as qmail's patches
//! have it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Child;

/// Bytes that are listened to; qmail listens to as many.
const TEXT_BYTES_MAX: usize = 255;

/// The end of the pipe that listens.
#[derive(Debug)]
pub(crate) struct Aside {
    receiver: pipe::Receiver,
    heard: Vec<u8>,
}

impl Aside {
    /// A pipe: the end that listens, and the end that is the program's.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let (receiver, sender) = io::pipe()?;
        let receiver = pipe::Receiver::from_owned_fd(OwnedFd::from(receiver))?;
        Ok((Aside { receiver, heard: Vec::new() }, OwnedFd::from(sender)))
    }

    /// Listens until the program ends, whoever else may still hold its end of the pipe. What it says at too great length is
    /// read and forgotten, so that it does not wait to be heard.
    pub(crate) async fn until_end(mut self, child: &mut Child) -> io::Result<(ExitStatus, String)> {
        let mut piece = [0; 1024];
        let mut is_open = true;
        let status = loop {
            tokio::select! {
                biased;
                read = self.receiver.read(&mut piece), if is_open => match read {
                    Ok(0) | Err(_) => is_open = false,
                    Ok(length) => self.hear(piece.get(..length).unwrap_or_default()),
                },
                status = child.wait() => break status?,
            }
        };
        // What it wrote last may be there and not be read yet.
        while let Ok(length @ 1..) = self.receiver.try_read(&mut piece) {
            self.hear(piece.get(..length).unwrap_or_default());
        }
        Ok((status, first_line(&self.heard)))
    }

    fn hear(&mut self, piece: &[u8]) {
        let room = TEXT_BYTES_MAX - self.heard.len();
        self.heard.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
}

/// A reply is a line, and nothing in it may end that or move a cursor.
fn first_line(text: &[u8]) -> String {
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
    line.iter().map(printable).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use command_fds::{CommandFdExt as _, FdMapping};
    use tokio::process::Command;
    use tokio::time::timeout;

    use super::*;

    async fn said(script: &str) -> (Option<i32>, String) {
        let (aside, parent_fd) = Aside::open().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).fd_mappings(vec![FdMapping { parent_fd, child_fd: 4 }]).unwrap();
        let mut child = command.spawn().unwrap();
        drop(command);
        let ended = timeout(Duration::from_secs(60), aside.until_end(&mut child)).await.unwrap();
        let (status, text) = ended.unwrap();
        (status.code(), text)
    }

    #[tokio::test]
    async fn a_program_is_heard_to_its_end_and_no_longer() {
        for (script, code, text) in [
            ("exit 3", 3, ""),
            ("echo 550 no >&4; exit 100", 100, "550 no"),
            ("printf 'one\\r\\ntwo' >&4", 0, "one"),
            ("printf 'red\\033[31m\\377' >&4", 0, "red?[31m?"),
            // Another holds the pipe open.
            ("sleep 5 & echo x >&4; kill -9 $$", -1, "x"),
        ] {
            let (ended, said) = said(script).await;
            assert_eq!((ended.unwrap_or(-1), said.as_str()), (code, text), "{script}");
        }
        let (code, text) = said("head -c 1000000 /dev/zero | tr '\\0' a >&4").await;
        assert_eq!((code, text.len()), (Some(0), TEXT_BYTES_MAX));
    }
}
