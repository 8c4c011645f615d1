//! Who is connected to a task's socket: any number of readers, and one writer.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
};

use rustix::event::{PollFd, PollFlags};

use super::input::Input;
use crate::local::run_dir::wire::{Frames, Reply, Request};

/// Most connections at once; a further one is closed at once, and may come again.
const MAX_CLIENTS: usize = 256;

/// All connections, the oldest first.
#[derive(Default)]
pub(super) struct Clients {
    clients: Vec<Client>,
    lost_writer: bool,
}

struct Client {
    stream: UnixStream,
    frames: Frames,
    outgoing: Vec<u8>,
    /// How far it has read, once it has said that it reads.
    acknowledged: Option<u64>,
    writes: bool,
    gone: bool,
}

impl Clients {
    pub(super) fn add(&mut self, stream: UnixStream) {
        if self.clients.len() >= MAX_CLIENTS {
            return;
        }
        // A client that does not read must not hold up the child whose output waits for this loop.
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        self.clients.push(Client {
            stream,
            frames: Frames::default(),
            outgoing: Vec::new(),
            acknowledged: None,
            writes: false,
            gone: false,
        });
    }

    pub(super) fn interest(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.clients.iter().map(|client| {
            let out = if client.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            PollFd::new(&client.stream, PollFlags::IN | out)
        })
    }

    /// Takes in what those say whose descriptor is ready; returns what the writer asks for.
    pub(super) fn handle(&mut self, ready: &mut impl Iterator<Item = bool>, input: &Input) -> Vec<Request> {
        let mut requests = Vec::new();
        for index in 0..self.clients.len() {
            if !ready.next().unwrap_or(false) {
                continue;
            }
            self.clients[index].receive();
            loop {
                match self.clients[index].frames.request() {
                    Ok(None) => break,
                    Ok(Some(Request::Acknowledge(position))) => {
                        let client = &mut self.clients[index];
                        client.acknowledged = client.acknowledged.max(Some(position));
                        // There may be output already, and nothing more to come.
                        client.queue(Reply::News);
                    }
                    Ok(Some(Request::Claim)) => {
                        // One writer: what two people type into one terminal makes no sense to the program.
                        let busy = self.clients.iter().any(|other| other.writes && !other.gone);
                        let client = &mut self.clients[index];
                        if busy {
                            client.queue(Reply::Busy);
                        } else {
                            client.writes = true;
                            client.queue(Reply::Granted);
                            client.queue(Reply::Credit(input.room()));
                        }
                    }
                    Ok(Some(request)) if self.clients[index].writes => requests.push(request),
                    // Nobody but the writer may say anything else.
                    Ok(Some(_)) | Err(_) => {
                        self.clients[index].gone = true;
                        break;
                    }
                }
            }
        }
        requests
    }

    /// How far the output was taken. Of several readers the one counts that is connected longest: others neither hold
    /// up the task nor take from that one what it has not read.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        self.present().find_map(|client| client.acknowledged)
    }

    pub(super) fn has_reader(&self) -> bool {
        self.present().any(|client| client.acknowledged.is_some())
    }

    /// Those that have not gone. A reader that left must not count in the round in which its successor came: the
    /// successor says only once how far it has read, and the process would wait for room for ever.
    fn present(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(|client| !client.gone)
    }

    pub(super) fn tell_news(&mut self) {
        for client in self.clients.iter_mut().filter(|client| client.acknowledged.is_some()) {
            // One that has not taken the last news yet will look anyway.
            if client.outgoing.is_empty() {
                client.queue(Reply::News);
            }
        }
    }

    pub(super) fn reply_to_writer(&mut self, reply: Reply) {
        if reply == Reply::Credit(0) {
            return;
        }
        if let Some(client) = self.clients.iter_mut().find(|client| client.writes) {
            client.queue(reply);
        }
    }

    /// Sends what waits, and lets go of those that have gone.
    pub(super) fn flush(&mut self) {
        for client in &mut self.clients {
            client.send();
        }
        // Kept until it is asked for: this is told once, also when the next writer is there already.
        self.lost_writer |= self.clients.iter().any(|client| client.gone && client.writes);
        self.clients.retain(|client| !client.gone);
    }

    /// Whether the writer has gone since this was asked last.
    pub(super) fn lost_writer(&mut self) -> bool {
        std::mem::take(&mut self.lost_writer)
    }
}

impl Client {
    fn receive(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.gone = true,
            Ok(n) => self.frames.feed(&buffer[..n]),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.gone = true,
        }
    }

    fn queue(&mut self, reply: Reply) {
        self.outgoing.extend(reply.encode());
    }

    fn send(&mut self) {
        while !self.outgoing.is_empty() && !self.gone {
            match self.stream.write(&self.outgoing) {
                Ok(n) => drop(self.outgoing.drain(..n)),
                Err(error) if is_passing(&error) => return,
                Err(_) => self.gone = true,
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
