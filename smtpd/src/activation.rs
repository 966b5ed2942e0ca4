//! Sockets that somebody opened for us before we were started, as systemd does (`LISTEN_FDS`): so the server needs no right
//! to open ports below 1024, and whoever connects while it restarts waits and is not refused.

use std::net::SocketAddr;

use listenfd::ListenFd;

use crate::server::{self, BindError};

/// What was opened and nobody has taken yet.
#[derive(Debug, Default)]
pub struct Opened(Vec<std::net::TcpListener>);

impl Opened {
    /// Takes all of them out of the environment.
    pub fn take() -> Self {
        let mut given = ListenFd::from_env();
        let sockets = (0..given.len()).filter_map(|at| match given.take_tcp_listener(at) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "descriptor {at} that was given to us is no listening TCP socket");
                None
            }
        });
        Opened(sockets.collect())
    }

    /// The socket of an address: the one that was opened, or a new one.
    ///
    /// # Errors
    /// It is not open, and cannot be opened.
    pub fn listen(&mut self, address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
        let Some(at) = self.0.iter().position(|open| open.local_addr().is_ok_and(|own| own == address))
        else {
            return server::bind(address);
        };
        let socket = self.0.swap_remove(at);
        socket.set_nonblocking(true).map_err(|cause| BindError { address, cause })?;
        Ok(socket)
    }

    /// Says which of them no setting wants: whoever connects there would wait for ever.
    pub fn warn_of_rest(&self) {
        for socket in &self.0 {
            if let Ok(address) = socket.local_addr() {
                tracing::warn!(
                    %address,
                    "this socket was opened for us and no [[listen]] names it: name it, or take it out of postern-smtpd.socket"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_socket_is_taken_and_another_address_is_opened() {
        let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = open.local_addr().unwrap();
        let mut opened = Opened(vec![open]);
        // It could not be bound a second time.
        let taken = opened.listen(address).unwrap();
        assert_eq!(taken.local_addr().unwrap(), address);
        let other = opened.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(other.local_addr().unwrap(), address);
    }
}
