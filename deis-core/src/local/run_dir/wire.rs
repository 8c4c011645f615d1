//! What a task's shim and its readers say to each other over the socket in the task's folder.
//!
//! A frame is `<kind: 1 byte> <length: 2> <payload>`, big-endian. Output does not go this way: readers read the files,
//! and are told here that there is more.

use crate::port::MAX_CHUNK;

/// Bytes of input that wait in the shim until the process reads them.
pub(crate) const INPUT_WINDOW: usize = 64 * 1024;
/// Longest payload.
const MAX_PAYLOAD: usize = MAX_CHUNK;
const HEADER: usize = 3;

/// What a reader or writer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Everything before this position was taken.
    Acknowledge(u64),
    /// It wants to be the writer.
    Claim,
    /// Input; only as much as there is credit for.
    Input(Vec<u8>),
    /// The end of the input.
    EndOfInput,
    /// The terminal's size: columns and rows.
    Resize(u16, u16),
    /// A signal, by its number.
    Signal(i32),
}

/// What a shim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// There is more output.
    News,
    /// You are the writer.
    Granted,
    /// Somebody else is the writer.
    Busy,
    /// So many bytes more of input may be sent.
    Credit(u32),
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Acknowledge(position) => frame(b'A', &position.to_be_bytes()),
            Self::Claim => frame(b'W', &[]),
            Self::Input(bytes) => frame(b'I', bytes),
            Self::EndOfInput => frame(b'E', &[]),
            Self::Resize(columns, rows) => frame(b'Z', &[columns.to_be_bytes(), rows.to_be_bytes()].concat()),
            Self::Signal(number) => frame(b'S', &number.to_be_bytes()),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match kind {
            b'A' => Self::Acknowledge(u64::from_be_bytes(payload.try_into().ok()?)),
            b'W' => Self::Claim,
            b'I' => Self::Input(payload.to_vec()),
            b'E' => Self::EndOfInput,
            b'Z' => {
                let size: [u8; 4] = payload.try_into().ok()?;
                Self::Resize(u16::from_be_bytes([size[0], size[1]]), u16::from_be_bytes([size[2], size[3]]))
            }
            b'S' => Self::Signal(i32::from_be_bytes(payload.try_into().ok()?)),
            _ => return None,
        })
    }
}

impl Reply {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::News => frame(b'N', &[]),
            Self::Granted => frame(b'Y', &[]),
            Self::Busy => frame(b'B', &[]),
            Self::Credit(bytes) => frame(b'C', &bytes.to_be_bytes()),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match kind {
            b'N' => Self::News,
            b'Y' => Self::Granted,
            b'B' => Self::Busy,
            b'C' => Self::Credit(u32::from_be_bytes(payload.try_into().ok()?)),
            _ => return None,
        })
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len().min(MAX_PAYLOAD)).unwrap_or(0);
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.push(kind);
    frame.extend(length.to_be_bytes());
    frame.extend(&payload[..usize::from(length)]);
    frame
}

/// Bytes as they arrive, until they are a whole frame.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<u8>);

/// The other side says what this one does not understand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Frames {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn request(&mut self) -> Result<Option<Request>, Malformed> {
        self.next(Request::decode)
    }

    pub(crate) fn reply(&mut self) -> Result<Option<Reply>, Malformed> {
        self.next(Reply::decode)
    }

    fn next<T>(&mut self, decode: impl Fn(u8, &[u8]) -> Option<T>) -> Result<Option<T>, Malformed> {
        let Some(&[kind, high, low]) = self.0.first_chunk::<HEADER>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_PAYLOAD {
            return Err(Malformed);
        }
        let Some(payload) = self.0.get(HEADER..HEADER + length) else { return Ok(None) };
        let decoded = decode(kind, payload).ok_or(Malformed)?;
        self.0.drain(..HEADER + length);
        Ok(Some(decoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let said = [
            Request::Acknowledge(1 << 40),
            Request::Claim,
            Request::Input(vec![b'x'; MAX_CHUNK]),
            Request::EndOfInput,
            Request::Resize(132, 43),
            Request::Signal(15),
        ];
        let bytes: Vec<u8> = said.iter().flat_map(Request::encode).collect();
        for step in [1, 2, 7, 5000] {
            let (mut frames, mut heard) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(step) {
                frames.feed(piece);
                while let Some(request) = frames.request().unwrap() {
                    heard.push(request);
                }
            }
            assert_eq!(heard, said);
        }
        let mut frames = Frames::default();
        frames.feed(b"?\0\0");
        assert_eq!(frames.request(), Err(Malformed));
    }
}
