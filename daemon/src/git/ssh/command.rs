//! Carries out what a client asks for on a channel.

use std::time::Duration;

use bytes::Bytes;
use deis_build::git::{Service, error_packet};
use deis_core::model::User;
use russh::{Channel, server::Msg};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

use super::GitSsh;
use crate::{
    git::{
        CHUNKS, app_for,
        exec::Exec,
        input::{GitInput, git_input},
        no_such_app, unavailable,
    },
    push::ConversationEnd,
    telemetry::chain,
};

/// How long a client may take to read the end of an answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(600);

/// Says on standard error why a command is not carried out, and ends it.
pub(super) async fn refuse(channel: Channel<Msg>, text: &str) {
    let (input, out) = channel.split();
    drop(input);
    let _ = out.extended_data_bytes(1, format!("{text}\n")).await;
    let _ = out.exit_status(127).await;
    let _ = out.eof().await;
    let _ = out.close().await;
}

/// Carries out a command and closes the channel: answer, exit status, end of file, close, in this order, or git takes
/// a success for a failure.
pub(super) async fn run(server: GitSsh, user: User, request: Exec, channel: Channel<Msg>) {
    let (mut input, out) = channel.split();
    let (output, mut chunks) = mpsc::channel::<Bytes>(CHUNKS);
    let mut writer = out.make_writer();
    let mut copy_out = tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = writer.flush().await;
    });
    let (sender, received) = git_input(false);
    let copy_in = tokio::spawn(async move {
        let mut from = input.make_reader();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.send(Ok(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let code = match serve(&server, &user, request, received, output).await {
        Ok(code) => code,
        // What broke on this side has no place in the conversation any more.
        Err(error) => {
            tracing::error!(user = %user.name, error = chain(&error), "a git request failed");
            let _ = out.extended_data_bytes(1, format!("{}\n", unavailable(&error))).await;
            1
        }
    };
    // A client that does not read the last of it is not waited for without end.
    if tokio::time::timeout(CLOSE_TIMEOUT, &mut copy_out).await.is_err() {
        copy_out.abort();
    }
    let _ = out.exit_status(code).await;
    let _ = out.eof().await;
    let _ = out.close().await;
    copy_in.abort();
}

/// The exit status; an error is one of this side, which the client has not been told.
async fn serve(
    server: &GitSsh,
    user: &User,
    request: Exec,
    input: GitInput,
    output: mpsc::Sender<Bytes>,
) -> Result<u32, deis_core::Error> {
    let Exec::Git(service, repository) = request else {
        let _ = output.send(Bytes::from_static(b"pong")).await;
        return Ok(0);
    };
    let Some(app) = app_for(&server.platform, user, &repository).await else {
        let _ = output.send(error_packet(&no_such_app(&repository)).into()).await;
        return Ok(1);
    };
    let conversation = match server.pushes.converse(&user.name) {
        Ok(conversation) => conversation,
        Err(crowded) => {
            let _ = output.send(error_packet(&crowded.to_string()).into()).await;
            return Ok(1);
        }
    };
    let refs = server.pushes.advertise(&app, service, false).await?;
    let busy = refs.get(4..8) == Some(b"ERR ");
    let _ = output.send(refs.into()).await;
    if busy {
        return Ok(1);
    }
    let ended = match service {
        Service::ReceivePack => server.pushes.receive(&app, conversation, input, output).await?,
        Service::UploadPack => server.pushes.upload(&app, conversation, input, output, false).await?,
    };
    Ok(match ended {
        ConversationEnd::Well => 0,
        ConversationEnd::Refused => 1,
    })
}
