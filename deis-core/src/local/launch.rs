//! Starts an instance: its files, its port, its environment, its shim.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Child,
};

use super::{
    artifact::ArtifactFolder,
    copy::{copy_tree, remove_tree},
    folder,
    options::LocalOptions,
    process,
    shim::{Identity, Output, Spec, Start, State},
};
use crate::{
    model::{Artifact, Cause, Command, Environment, Template},
    port::{ArtifactError, BoxError},
};

/// Why an instance could not be started.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) cause: Cause,
    /// Whether trying again cannot help.
    pub(super) definitive: bool,
}

/// Makes the artifact's folder ready.
pub(super) async fn unpack(
    options: &LocalOptions,
    artifact: &Artifact,
) -> Result<ArtifactFolder, NotStarted> {
    (options.unpacker)(artifact.clone()).await.map_err(|error| NotStarted {
        definitive: matches!(error, ArtifactError::Definitive { .. }),
        cause: Cause::Artifact {
            reason: match error {
                ArtifactError::Definitive { reason } => reason,
                ArtifactError::Unavailable(source) => reason(source.as_ref()),
            },
        },
    })
}

/// An error with its causes, in one line.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string);
    causes.collect::<Vec<_>>().join(": ")
}

/// Copies the files and starts the shim, off the async threads. `None` if the app's process could not be started.
pub(super) async fn start(
    options: &LocalOptions,
    template: &Template,
    source: ArtifactFolder,
    identity: Identity,
    notices: Vec<String>,
) -> Result<Option<(Child, State)>, BoxError> {
    let folder = folder::of_instance(&options.run_dir, identity.app.uid, &identity.instance);
    let directory = folder::files(&folder);
    let spec = Spec {
        env: environment(options, template, identity.port, &directory),
        start: start_of(&template.launch.command),
        grace_ms: u64::from(template.grace_seconds) * 1000,
        limit_ms: None,
        open_files: options.open_files,
        output: Output::Files { identity: Box::new(identity), notices },
        folder,
        directory,
    };
    let shim = options.shim.clone();
    let started = tokio::task::spawn_blocking(move || {
        make_private(&spec.folder)?;
        for old in ["exit.json", "state.json", folder::READY] {
            remove_file(&spec.folder.join(old))?;
        }
        remove_tree(&spec.directory)?;
        if let Output::Files { identity, .. } = &spec.output {
            identity.write(&spec.folder)?;
        }
        copy_tree(&source.path, &spec.directory)?;
        drop(source);
        process::start_instance(&shim, &spec)
    });
    Ok(started.await??)
}

/// How a shim starts a command. An image's own never comes here: what has no image is refused before.
pub(super) fn start_of(command: &Command) -> Start {
    match command {
        Command::Shell(line) => Start::Shell { command: line.clone() },
        Command::Argv(words) => Start::Program {
            program: words.first().map(PathBuf::from).unwrap_or_default(),
            argv0: None,
            args: words.iter().skip(1).cloned().collect(),
        },
        Command::ImageDefault => Start::Shell { command: String::new() },
    }
}

/// The environment of an instance: the template's, its address and port, and what every process needs.
pub(super) fn environment(
    options: &LocalOptions,
    template: &Template,
    port: u16,
    home: &Path,
) -> Environment {
    let mut env = template.env.clone();
    env.insert("PORT".to_owned(), port.to_string());
    env.insert("HOME".to_owned(), home.display().to_string());
    add_defaults(&mut env, options);
    env
}

/// What each process of an app finds on this machine, instance or task, unless its config says something else.
pub(super) fn add_defaults(env: &mut Environment, options: &LocalOptions) {
    // Requests come from this machine's proxy. An app that listens on this address is not reachable past it; one whose
    // config says another HOST means that.
    env.entry("HOST".to_owned()).or_insert_with(|| "127.0.0.1".to_owned());
    env.entry("PATH".to_owned()).or_insert_with(|| options.path.clone());
}

/// Makes a folder, with its parents, that nobody else can look into.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn remove_file(path: &PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
