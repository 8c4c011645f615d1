//! The socket in a task's folder.
//!
//! The address of a Unix socket holds 107 bytes and a folder's path may be longer. So the folder is opened, and the
//! socket is named by way of its descriptor: `/proc/self/fd/<number>/s` always fits.

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use super::format::SOCKET;

/// The folder of a socket, open; the socket's path holds as long as this lives.
#[derive(Debug)]
pub(crate) struct SocketFolder(OwnedFd);

impl SocketFolder {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        // A folder needs no right to be read for its descriptor to stand in a path.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(folder, flags, Mode::empty())?))
    }

    /// Where the socket is, for this process.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.0.as_raw_fd()))
    }
}

/// Listens in the folder. Only this user can connect.
pub(crate) fn listen(folder: &Path) -> io::Result<UnixListener> {
    let open = SocketFolder::open(folder)?;
    let path = open.path();
    // A socket that a killed process left takes connections from nobody, and stands in the way.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the socket: nobody may connect where nobody listens any more.
pub(crate) fn remove(folder: &Path) {
    let _ = fs::remove_file(folder.join(SOCKET));
}
