//! Many clients on one thread, so that they take as little of the processor as can be.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::clients::is_whole;

/// What each says, and what the answer to what was said before must begin with.
const SCRIPT: [(&[u8], u8); 4] = [
    (b"EHLO client.example.net\r\n", b'2'),
    (b"MAIL FROM:<a@example.net>\r\n", b'2'),
    (b"RCPT TO:<nobody@example.org>\r\n", b'2'),
    (b"QUIT\r\n", b'5'),
];

/// Clients, each in a session for a recipient that is refused, and then in the next.
pub struct Crowd {
    address: SocketAddr,
    epoll: rustix::fd::OwnedFd,
    clients: Vec<Client>,
    events: Vec<epoll::Event>,
    done: u64,
}

struct Client {
    stream: TcpStream,
    reply: Vec<u8>,
    said: usize,
}

impl Client {
    fn connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Client { stream: TcpStream::connect(address)?, reply: Vec::with_capacity(1024), said: 0 })
    }
}

impl Crowd {
    /// So many clients of one server.
    pub fn of(count: usize, address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let clients = (0..count).map(|_| Client::connect(address)).collect::<Result<Vec<_>, _>>()?;
        let crowd = Crowd { address, epoll, clients, events: Vec::with_capacity(count), done: 0 };
        for n in 0..count {
            crowd.watch(n)?;
        }
        Ok(crowd)
    }

    /// Sessions that are over.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Waits for answers, and says what follows.
    pub fn go_on(&mut self) -> Result<(), Box<dyn Error>> {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), None)?;
        for n in 0..self.events.len() {
            self.answered(self.events[n].data.u64() as usize)?;
        }
        Ok(())
    }

    fn answered(&mut self, n: usize) -> Result<(), Box<dyn Error>> {
        let client = &mut self.clients[n];
        let mut room = [0; 1024];
        let length = client.stream.read(&mut room)?;
        client.reply.extend_from_slice(&room[..length]);
        if length == 0 && client.said < SCRIPT.len() {
            return Err(format!("the server is gone after command {}", client.said).into());
        }
        if length > 0 && !is_whole(&client.reply) {
            return Ok(());
        }
        if let Some((command, expected)) = SCRIPT.get(client.said) {
            if client.reply.first() != Some(expected) {
                return Err(format!("{:?} was answered", String::from_utf8_lossy(&client.reply)).into());
            }
            client.stream.write_all(command)?;
            client.reply.clear();
            client.said += 1;
            return Ok(());
        }
        self.done += 1;
        // The old connection is closed by this, and watched no more.
        self.clients[n] = Client::connect(self.address)?;
        self.watch(n)
    }

    fn watch(&self, n: usize) -> Result<(), Box<dyn Error>> {
        let stream = &self.clients[n].stream;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(n as u64), EventFlags::IN)?)
    }
}
