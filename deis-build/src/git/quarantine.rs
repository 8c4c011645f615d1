//! Where a received pack stays until it is known to be whole and allowed.

use std::{
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use gix::{
    error::{Class, ResourceExhaustionKind},
    hash::Kind,
};
use gix_pack::bundle::write::{Options, Outcome};

use super::{
    error::{DISK_FULL, Result, is_disk_full},
    limits::Limits,
};

/// How the folders are named, so that a start after a kill finds them.
pub(super) const PREFIX: &str = "incoming-";

/// A folder below `objects` that sees the main objects and goes when this value does.
#[derive(Debug)]
pub(super) struct Quarantine {
    folder: tempfile::TempDir,
    main: PathBuf,
}

impl Quarantine {
    pub(super) fn new(main: &Path) -> Result<Self> {
        let main = main.canonicalize()?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&main)?;
        fs::create_dir(folder.path().join("pack"))?;
        fs::create_dir(folder.path().join("info"))?;
        fs::write(folder.path().join("info/alternates"), format!("{}\n", main.display()))?;
        Ok(Self { folder, main })
    }

    /// Reads a pack to its end, completes and verifies it.
    ///
    /// The error is the short reason that the client is told.
    pub(super) fn ingest(
        &self,
        repo: &gix::Repository,
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> std::result::Result<Outcome, String> {
        let limited = Limited { input, left: limits.pack_bytes, ended: None };
        let mut reader = BufReader::with_capacity(256 * 1024, limited);
        let outcome = self.write(repo, &mut reader, limits, cancel);
        let ended = reader.into_inner().ended;
        match (outcome, ended) {
            (_, Some(ReadStopped::TooLarge)) => {
                Err(format!("the push is larger than {} MiB", limits.pack_bytes >> 20))
            }
            (_, Some(ReadStopped::Broken(error))) if error.kind() == io::ErrorKind::TimedOut => {
                Err("the client stopped sending".to_owned())
            }
            (_, Some(ReadStopped::Broken(_))) => {
                Err("the connection broke while the pack arrived".to_owned())
            }
            (outcome, None) => outcome,
        }
    }

    fn write(
        &self,
        repo: &gix::Repository,
        reader: &mut impl io::BufRead,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> std::result::Result<Outcome, String> {
        let damaged = || "the pack is damaged or incomplete".to_owned();
        // The number of objects stands in the head, so that too many cost nothing.
        match reader.fill_buf().map_err(|_| damaged())? {
            [] => return Err("the push came without a pack".to_owned()),
            [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, a, b, c, d, ..] => {
                if u32::from_be_bytes([*a, *b, *c, *d]) > limits.objects {
                    return Err(format!("the pack has more than {} objects", limits.objects));
                }
            }
            // A first read may be short; what is no pack at all is found out below.
            head if b"PACK".starts_with(&head[..head.len().min(4)]) => {}
            _ => return Err(damaged()),
        }
        let options = Options {
            thread_limit: Some(2),
            iteration_mode: gix_pack::data::input::Mode::Verify,
            alloc_limit_bytes: Some(limits.object_bytes),
            ..Options::default()
        };
        let outcome = gix_pack::Bundle::write_to_directory(
            reader,
            Some(&self.folder.path().join("pack")),
            &mut gix::progress::Discard,
            cancel,
            Some(repo.objects.clone()),
            Kind::Sha1,
            options,
        );
        match outcome {
            Ok(outcome) if outcome.index.num_objects > limits.objects => {
                Err(format!("the pack has more than {} objects", limits.objects))
            }
            Ok(outcome) => Ok(outcome),
            Err(error) if is_disk_full(&error) => Err(DISK_FULL.to_owned()),
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "a pack was refused");
                let too_large = error.dominant_class().is_some_and(|class| {
                    matches!(class, Class::ResourceExhaustion(ResourceExhaustionKind::AllocationLimit))
                });
                Err(if too_large {
                    format!("an object is larger than {} MiB", limits.object_bytes >> 20)
                } else {
                    damaged()
                })
            }
        }
    }

    /// The repository as it would be with the pack.
    pub(super) fn view(&self, repo: &gix::Repository) -> Result<gix::Repository> {
        let odb = gix::odb::at_opts(
            self.folder.path().to_path_buf(),
            Kind::Sha1,
            std::iter::empty(),
            gix::odb::store::init::Options::default(),
        )?;
        let mut view = repo.clone();
        view.objects = gix::odb::memory::Proxy::new(odb, Kind::Sha1);
        view.object_cache_size_if_unset(16 << 20);
        Ok(view)
    }

    /// The main objects.
    pub(super) fn main(&self) -> &Path {
        &self.main
    }
}

/// Reads up to a limit, and remembers why it could not: the reader's errors come back wrapped beyond recognition.
struct Limited<R> {
    input: R,
    left: u64,
    ended: Option<ReadStopped>,
}

enum ReadStopped {
    TooLarge,
    Broken(io::Error),
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let kind = error.kind();
                self.ended = Some(ReadStopped::Broken(error));
                return Err(kind.into());
            }
            Ok(count) => count,
        };
        let Some(left) = self.left.checked_sub(count as u64) else {
            self.ended = Some(ReadStopped::TooLarge);
            return Err(io::Error::other("the pack is too large"));
        };
        self.left = left;
        Ok(count)
    }
}
