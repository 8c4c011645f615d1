//! Where a received pack stays until it is known to be whole and allowed.

use std::{
    fs,
    io::{self, BufReader, BufWriter, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use gix::{
    error::{Class, ResourceExhaustionKind},
    hash::Kind,
    objs::Exists as _,
};
use gix_pack::bundle::write::{Options, Outcome};

use super::{
    error::{DISK_FULL, Result, is_disk_full},
    limits::Limits,
    pack_memory::PackMemoryPermit,
    pack_scan::{PackCost, ScanError, scan},
};

/// What a client is told whose pack is none.
const DAMAGED: &str = "the pack is damaged or incomplete";

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

    /// Reads a pack to its end, completes and verifies it; what that takes of memory is held until the permit goes.
    ///
    /// The error is the short reason that the client is told.
    pub(super) fn ingest(
        &self,
        repo: &gix::Repository,
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> std::result::Result<(Outcome, PackMemoryPermit), String> {
        let file = self.folder.path().join("received");
        let cost = receive(repo, &file, input, limits, cancel)?;
        let permit = limits.memory.take(cost.memory).ok_or_else(|| {
            let most = limits.memory.total() >> 20;
            format!(
                "the deltas of the pack take more than {most} MiB of memory; `git repack -adf --depth=10` makes simpler ones"
            )
        })?;
        let outcome = self.write(repo, &file, cost.threads, limits, cancel)?;
        // What is in there is in the pack now.
        let _ = fs::remove_file(file);
        Ok((outcome, permit))
    }

    fn write(
        &self,
        repo: &gix::Repository,
        file: &Path,
        threads: usize,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> std::result::Result<Outcome, String> {
        let file = fs::File::open(file).map_err(|_| DAMAGED.to_owned())?;
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        let options = Options {
            thread_limit: Some(threads),
            iteration_mode: gix_pack::data::input::Mode::Verify,
            alloc_limit_bytes: Some(limits.object_bytes),
            ..Options::default()
        };
        let outcome = gix_pack::Bundle::write_to_directory(
            &mut reader,
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
                    DAMAGED.to_owned()
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

/// Writes a pack to a file as it comes.
fn receive(
    repo: &gix::Repository,
    file: &Path,
    input: impl Read,
    limits: &Limits,
    cancel: &AtomicBool,
) -> std::result::Result<PackCost, String> {
    let limited = Limited { input, left: limits.pack_bytes, ended: None };
    let mut reader = BufReader::with_capacity(256 * 1024, limited);
    let is_here = |id: &gix::hash::oid| repo.objects.exists(id);
    let scanned = fs::File::create_new(file).map_err(ScanError::Io).and_then(|file| {
        scan(&mut reader, BufWriter::with_capacity(64 * 1024, file), is_here, limits, cancel)
    });
    match (scanned, reader.into_inner().ended) {
        (_, Some(ReadStopped::TooLarge)) => {
            Err(format!("the push is larger than {} MiB", limits.pack_bytes >> 20))
        }
        (_, Some(ReadStopped::Broken(error))) if error.kind() == io::ErrorKind::TimedOut => {
            Err("the client stopped sending".to_owned())
        }
        (_, Some(ReadStopped::Broken(_))) => Err("the connection broke while the pack arrived".to_owned()),
        (Ok(cost), None) => Ok(cost),
        (Err(ScanError::Missing), None) => Err("the push came without a pack".to_owned()),
        (Err(ScanError::Refused(reason)), None) => Err(reason),
        (Err(ScanError::Damaged), None) => Err(DAMAGED.to_owned()),
        (Err(ScanError::Io(error)), None) if is_disk_full(&error) => Err(DISK_FULL.to_owned()),
        (Err(ScanError::Io(error)), None) => {
            tracing::error!(path = %file.display(), %error, "a pack could not be written");
            Err("the push could not be stored".to_owned())
        }
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
