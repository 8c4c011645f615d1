//! What is told to a client first, and clones and fetches.

use std::{io, time::Duration};

use bytes::Bytes;
use deis_build::git::{GitError, Service, error_packet};
use deis_core::{AppHandle, Error, model::Push};
use tokio::{runtime::Handle, time::Instant};

use super::{Conversation, ConversationEnd, ONGOING, Output, Pushes, blocking, on_thread};
use crate::{git::GitInput, telemetry::chain};

/// How long a client may leave the next bytes of an answer unread.
const UNREAD: Duration = Duration::from_secs(60);
/// How many bytes it has to read for each second that it is waited for, after the first [`UNREAD`].
const MIN_RATE: u64 = 1024;

impl Pushes {
    /// What a client is told first; for a push while another one is open, who is at it.
    ///
    /// # Errors
    ///
    /// Those of the store and of the repository.
    pub async fn advertise(&self, app: &AppHandle, service: Service, http: bool) -> Result<Vec<u8>, Error> {
        if service == Service::ReceivePack
            && let Some(open) = app.open_push().await?.filter(|open| open.is_held(crate::clock::now()))
        {
            let mut answer = Vec::new();
            if http {
                answer.extend_from_slice(b"001f# service=git-receive-pack\n0000");
            }
            answer.extend(error_packet(&busy(&open)));
            return Ok(answer);
        }
        let repository = self.repository(app).await?;
        blocking(move || {
            let mut out = Vec::new();
            repository.advertise(service, http, &mut out).map(|()| out)
        })
        .await
    }

    /// Serves a fetch.
    ///
    /// # Errors
    ///
    /// Those of a repository that cannot be opened. What goes wrong later, the client has been told.
    pub async fn upload(
        &self,
        app: &AppHandle,
        conversation: Conversation,
        mut input: GitInput,
        output: Output,
        stateless: bool,
    ) -> Result<ConversationEnd, Error> {
        let repository = self.repository(app).await?;
        if let Err(error) = input.wait().await {
            return Ok(never_spoke(error, &output));
        }
        let runtime = Handle::current();
        let served = on_thread(move || {
            let _conversation = conversation;
            let writer = ChannelWriter { output, runtime: runtime.clone(), waited: Duration::ZERO, bytes: 0 };
            let mut writer = io::BufWriter::with_capacity(64 * 1024, writer);
            repository.upload(input.into_blocking(runtime), &mut writer, stateless)
        })
        .await
        .map_err(|e| Error::Internal(Box::new(e)))?;
        match served {
            Ok(()) => Ok(ConversationEnd::Well),
            Err(error) => {
                tracing::debug!(app = %app.name(), error = chain(&error), "a fetch ended early");
                Ok(ConversationEnd::Refused)
            }
        }
    }
}

/// The end of a conversation whose client was waited for in vain. It is told so, if it still reads.
pub(super) fn never_spoke(error: io::Error, output: &Output) -> ConversationEnd {
    let _ = output.try_send(error_packet(&GitError::Io(error).for_client()).into());
    ConversationEnd::Refused
}

/// What the second of two pushes is told.
fn busy(open: &Push) -> String {
    format!("{ONGOING}\n{}", open.holder())
}

/// A writer for a thread of its own into a channel. A client that stops reading, or reads next to nothing, is one that
/// went away.
struct ChannelWriter {
    output: Output,
    runtime: Handle,
    waited: Duration,
    bytes: u64,
}

impl io::Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let began = Instant::now();
        let earned = UNREAD + Duration::from_secs(self.bytes / MIN_RATE);
        let patience = UNREAD.min(earned.saturating_sub(self.waited));
        let send = self.output.send_timeout(Bytes::copy_from_slice(data), patience);
        self.runtime.block_on(send).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.waited += began.elapsed();
        self.bytes += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
