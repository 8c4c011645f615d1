//! Starts an instance: its files, its port, its environment, its shim.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Child,
};

use super::handle;
use crate::{
    local::{
        artifact::ArtifactFolder,
        options::LocalOptions,
        run_dir::{
            format::{self, EXIT, READY, STATE},
            record::{InstanceIdentity, InstanceRecord},
        },
        shim::{Job, Spec, Start},
        tree::{copy_tree, make_private, remove_tree},
    },
    model::{Artifact, Cause, Command, Environment, Template},
    port::{ArtifactError, BoxError, error_chain},
};

/// Why an instance could not be started.
#[derive(Debug)]
pub(in crate::local) struct NotStarted {
    pub(in crate::local) cause: Cause,
    /// Whether trying again cannot help.
    pub(in crate::local) definitive: bool,
}

/// Makes the artifact's folder ready.
pub(in crate::local) async fn unpack(
    options: &LocalOptions,
    artifact: &Artifact,
) -> Result<ArtifactFolder, NotStarted> {
    (options.unpacker)(artifact.clone()).await.map_err(|error| NotStarted {
        definitive: matches!(error, ArtifactError::Definitive { .. }),
        cause: Cause::Artifact {
            reason: match error {
                ArtifactError::Definitive { reason } => reason,
                ArtifactError::Unavailable(source) => error_chain(source.as_ref()),
            },
        },
    })
}

/// Copies the files and starts the shim, off the async threads. `None` if the app's process could not be started.
pub(in crate::local) async fn start(
    options: &LocalOptions,
    template: &Template,
    source: ArtifactFolder,
    identity: InstanceIdentity,
    notices: Vec<String>,
) -> Result<Option<(Child, InstanceRecord)>, BoxError> {
    let folder = format::of_instance(&options.run_dir, identity.app.uid, &identity.instance);
    let directory = format::files(&folder);
    let spec = Spec {
        env: environment(options, template, identity.port, &directory),
        start: start_of(&template.launch.command),
        grace_ms: u64::from(template.grace_seconds) * 1000,
        limit_ms: None,
        open_files: options.open_files,
        job: Job::Instance { identity: Box::new(identity), notices },
        folder,
        directory,
    };
    let shim = options.shim.clone();
    let started = tokio::task::spawn_blocking(move || {
        if let Job::Instance { identity, .. } = &spec.job
            && InstanceIdentity::read(&spec.folder).is_some_and(|old| old.instance != identity.instance)
        {
            // An ended instance whose name has the same last part: what it printed is not this one's.
            remove_tree(&spec.folder)?;
        }
        make_private(&spec.folder)?;
        // What the run before left must not be taken for this one's, be it that this process is killed right here.
        for old in [EXIT, STATE, READY] {
            remove_file(&spec.folder.join(old))?;
        }
        remove_tree(&spec.directory)?;
        if let Job::Instance { identity, .. } = &spec.job {
            identity.write(&spec.folder)?;
        }
        copy_tree(&source.path, &spec.directory)?;
        drop(source);
        handle::start_instance(&shim, &spec)
    });
    Ok(started.await??)
}

/// How a shim starts a command. An image's own never comes here: what has no image is refused before.
pub(in crate::local) fn start_of(command: &Command) -> Start {
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
pub(in crate::local) fn environment(
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
pub(in crate::local) fn add_defaults(env: &mut Environment, options: &LocalOptions) {
    // Requests come from this machine's proxy. An app that listens on this address is not reachable past it; one whose
    // config says another HOST means that.
    env.entry("HOST".to_owned()).or_insert_with(|| "127.0.0.1".to_owned());
    env.entry("PATH".to_owned()).or_insert_with(|| options.path.clone());
}

fn remove_file(path: &PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
