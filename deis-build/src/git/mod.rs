//! The server side of git, on gitoxide's parts, without HTTP or SSH: push, clone, fetch; and a small client.
//!
//! Everything here blocks on its reader and writer and is meant for a blocking thread. A push is taken in two halves,
//! so that no thread waits for a build: [`Repository::receive`] ends with the pack in quarantine and no ref moved;
//! [`Repository::store`] puts it among the objects, and [`Repository::update_refs`] moves the refs once the build is live;
//! [`Received::report`] is the answer.

mod advertise;
mod attributes;
mod connectivity;
mod error;
mod fetch;
mod fetch_request;
mod history;
mod kept_pack;
mod limits;
mod negotiation;
mod oid;
mod pack_memory;
mod pack_scan;
mod packet;
mod path;
mod pending_pack;
mod policy;
mod quarantine;
mod receive;
mod received;
mod repo;
mod report;
mod request;
mod selection;
mod shallow;
mod tree;
mod upload;

pub use advertise::Service;
pub(crate) use error::DISK_FULL;
pub use error::{GitError, is_disk_full};
pub use fetch::fetch_remote;
pub(crate) use fetch::without_password;
pub use limits::Limits;
pub use oid::Oid;
pub use pack_memory::PackMemory;
pub use packet::{KEEP_ALIVE, error_packet, progress};
pub use pending_pack::PendingPack;
pub use receive::ReceiveError;
pub use received::{Command, Received};
pub use repo::{RefRefused, Repository};
pub use tree::{Budget, Exported};
