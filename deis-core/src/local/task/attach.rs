//! Readers and the writer of a task of this machine: output from its files, woken over its socket; input over that.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Semaphore, watch},
    task::AbortHandle,
    time::timeout,
};

use super::run::Stage;
use crate::{
    local::{
        blocking::blocking,
        run_dir::{
            socket::SocketFolder,
            task_output::TaskLogReader,
            wire::{Frames, Reply, Request},
        },
    },
    model::{TaskSignal, TerminalSize},
    port::{BoxError, Cursor, OutputItem, OutputItems, Positioned, TaskError, TaskWriter, check_write},
};

/// How much is read from the files at once.
const BATCH: usize = 256 * 1024;
/// A shim that has let go of a reader writes the end within this time, unless it has too many readers.
const END_WAIT: Duration = Duration::from_secs(5);

/// A task's output from a position on.
pub(super) fn output(folder: &Path, stage: watch::Receiver<Stage>, from: Cursor) -> OutputItems {
    let reader = Reader {
        folder: folder.to_owned(),
        log: Some(TaskLogReader::new(folder, from)),
        stage,
        connection: None,
        ready: VecDeque::new(),
        done: false,
    };
    stream::unfold(reader, |mut reader| async move {
        let item = reader.next().await.map_err(unavailable).transpose()?;
        reader.done |= item.is_err();
        Some((item, reader))
    })
    .boxed()
}

struct Reader {
    folder: PathBuf,
    /// Away while a thread reads.
    log: Option<TaskLogReader>,
    stage: watch::Receiver<Stage>,
    connection: Option<ShimConnection>,
    ready: VecDeque<Positioned>,
    /// The last item has been handed on.
    done: bool,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Positioned>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.done {
                return Ok(None);
            }
            // Taken before the files are read: if the task had ended by then, what is read now is all that there is.
            let stage = self.stage.borrow_and_update().clone();
            if let Stage::Starting = stage {
                self.stage.changed().await.map_err(io::Error::other)?;
                continue;
            }
            // Whoever asks for more has taken all before.
            let position = self.log.as_ref().map_or(0, TaskLogReader::position);
            if let Stage::Running = stage {
                self.acknowledge(position).await;
            }
            let Some(mut log) = self.log.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
            let (log, items) = blocking(move || {
                let items = log.read(BATCH)?;
                Ok((log, items))
            })
            .await?;
            self.ready.extend(items);
            let log = self.log.insert(log);
            if !self.ready.is_empty() {
                continue;
            }
            if let Stage::Ended { ended, .. } = stage {
                // Nothing is written any more, and all that was is read.
                let cursor = Cursor::from_raw(ended.output.max(log.position()));
                self.ready.extend(log.missing(ended.output));
                let broken = ended.broken.map(|reason| OutputItem::Broken { reason });
                let last = broken.into_iter().chain([OutputItem::Ended { exit: ended.exit }]);
                self.ready.extend(last.map(|item| Positioned { cursor, item }));
                self.done = true;
                continue;
            }
            self.wait().await?;
        }
    }

    /// Says how far the output was taken; whether it arrives shows elsewhere.
    async fn acknowledge(&mut self, position: u64) {
        if self.connection.is_none() {
            // A shim that is about to end listens no more.
            self.connection = ShimConnection::open(&self.folder).await.ok();
        }
        if let Some(connection) = &mut self.connection
            && connection.acknowledged != Some(position)
        {
            connection.acknowledged = Some(position);
            let _ = connection.stream.write_all(&Request::Acknowledge(position).encode()).await;
        }
    }

    /// Waits until there may be more.
    async fn wait(&mut self) -> io::Result<()> {
        let Some(connection) = &mut self.connection else {
            let ended = timeout(END_WAIT, self.stage.changed()).await;
            let lost =
                || io::Error::new(io::ErrorKind::NotConnected, "the task's supervisor does not answer");
            return ended.map_err(|_| lost())?.map_err(io::Error::other);
        };
        let mut news = [0; 4096];
        tokio::select! {
            read = connection.stream.read(&mut news) => match read {
                Ok(n) if n > 0 => {}
                _ => self.connection = None,
            },
            changed = self.stage.changed() => changed.map_err(io::Error::other)?,
        }
        if self.connection.is_none() {
            // The end follows; without it the next turn connects once more.
            let _ = timeout(END_WAIT, self.stage.changed()).await;
        }
        Ok(())
    }
}

struct ShimConnection {
    stream: UnixStream,
    acknowledged: Option<u64>,
}

impl ShimConnection {
    async fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { stream: connect(folder).await?, acknowledged: None })
    }
}

/// Connects to the shim of a task, whose folder may have a path that is longer than an address.
async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let open = SocketFolder::open(folder)?;
    UnixStream::connect(open.path()).await
}

/// Takes the place of the writer, once the task runs.
pub(super) async fn writer(
    folder: &Path,
    mut stage: watch::Receiver<Stage>,
) -> Result<Box<dyn TaskWriter>, TaskError> {
    let gone = |error| unavailable(io::Error::other(error));
    let has_ended = {
        let now = stage.wait_for(|stage| !matches!(stage, Stage::Starting)).await.map_err(gone)?;
        matches!(&*now, Stage::Ended { .. })
    };
    if has_ended {
        return Ok(Box::new(LocalWriter::of_ended()));
    }
    let Ok(mut stream) = connect(folder).await else { return Ok(Box::new(LocalWriter::of_ended())) };
    stream.write_all(&Request::Claim.encode()).await.map_err(unavailable)?;
    let mut frames = Frames::default();
    loop {
        match frames.reply() {
            Ok(Some(Reply::Granted)) => break,
            Ok(Some(Reply::Busy)) => return Err(TaskError::Busy),
            Ok(Some(_)) => {}
            Ok(None) => {
                let mut buffer = [0; 256];
                match stream.read(&mut buffer).await {
                    Ok(n) if n > 0 => frames.feed(&buffer[..n]),
                    _ => return Ok(Box::new(LocalWriter::of_ended())),
                }
            }
            Err(_) => return Err(unavailable(io::Error::from(io::ErrorKind::InvalidData))),
        }
    }
    Ok(Box::new(LocalWriter::new(stream, frames)))
}

/// The writer of a task. Its place is free when the connection closes.
struct LocalWriter {
    socket: Option<Mutex<OwnedWriteHalf>>,
    /// Bytes that the shim has room for; closed once the connection is.
    credit: Arc<Semaphore>,
    credits: Option<AbortHandle>,
}

impl LocalWriter {
    fn new(stream: UnixStream, frames: Frames) -> Self {
        let (read, write) = stream.into_split();
        let credit = Arc::new(Semaphore::new(0));
        let credits = tokio::spawn(take_credit(read, frames, Arc::clone(&credit))).abort_handle();
        Self { socket: Some(Mutex::new(write)), credit, credits: Some(credits) }
    }

    /// One that nobody reads from any more.
    fn of_ended() -> Self {
        let credit = Semaphore::new(0);
        credit.close();
        Self { socket: None, credit: Arc::new(credit), credits: None }
    }

    async fn send(&self, request: Request) -> Result<(), TaskError> {
        let Some(socket) = &self.socket else { return Err(ended()) };
        socket.lock().await.write_all(&request.encode()).await.map_err(|_| ended())
    }
}

fn unavailable(error: impl Into<BoxError>) -> TaskError {
    TaskError::Unavailable(error.into())
}

fn ended() -> TaskError {
    TaskError::Unavailable("the task has ended".into())
}

async fn take_credit(mut read: OwnedReadHalf, mut frames: Frames, credit: Arc<Semaphore>) {
    let mut buffer = [0; 1024];
    loop {
        while let Ok(Some(reply)) = frames.reply() {
            if let Reply::Credit(bytes) = reply {
                credit.add_permits(usize::try_from(bytes).unwrap_or(0));
            }
        }
        match read.read(&mut buffer).await {
            Ok(n) if n > 0 => frames.feed(&buffer[..n]),
            _ => {
                credit.close();
                return;
            }
        }
    }
}

#[async_trait]
impl TaskWriter for LocalWriter {
    async fn write(&self, bytes: Bytes) -> Result<(), TaskError> {
        check_write(&bytes)?;
        let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // The wait is here and not in the socket, where a signal or a new size would wait behind the input.
        let room = self.credit.acquire_many(wanted).await.map_err(|_| ended())?;
        room.forget();
        self.send(Request::Input(bytes.to_vec())).await
    }

    async fn end(&self) -> Result<(), TaskError> {
        self.send(Request::EndOfInput).await
    }

    async fn resize(&self, size: TerminalSize) -> Result<(), TaskError> {
        self.send(Request::Resize(size.columns, size.rows)).await
    }

    async fn signal(&self, signal: TaskSignal) -> Result<(), TaskError> {
        use rustix::process::Signal;
        let signal = match signal {
            TaskSignal::Hup => Signal::HUP,
            TaskSignal::Int => Signal::INT,
            TaskSignal::Quit => Signal::QUIT,
            TaskSignal::Kill => Signal::KILL,
            TaskSignal::Usr1 => Signal::USR1,
            TaskSignal::Usr2 => Signal::USR2,
            TaskSignal::Term => Signal::TERM,
        };
        self.send(Request::Signal(signal.as_raw())).await
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if let Some(credits) = &self.credits {
            credits.abort();
        }
    }
}
