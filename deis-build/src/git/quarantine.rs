//! Where a received pack stays until it is known to be whole and allowed.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use gix::hash::Kind;
use gix_pack::bundle::write::{Options, Outcome};

use super::{
    error::{GitError, Result},
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

    /// Reads a pack to its end, completes and verifies it. `None`: the client sent none.
    ///
    /// The error is the short reason that the client is told.
    pub(super) fn ingest(
        &self,
        repo: &gix::Repository,
        input: impl Read,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> std::result::Result<Option<Outcome>, String> {
        let limited = Limited { input, left: limits.pack_bytes };
        let mut reader = BufReader::with_capacity(256 * 1024, limited);
        match reader.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(_) => {}
            Err(_) => return Err("the connection broke while the pack arrived".to_owned()),
        }
        let options = Options {
            thread_limit: Some(2),
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
            Ok(outcome) => Ok(Some(outcome)),
            Err(error) => {
                let text = format!("{error:#}").to_lowercase();
                tracing::debug!(error = text, "a pack was refused");
                Err(if text.contains(TOO_LARGE) {
                    format!("the push is larger than {} MiB", limits.pack_bytes >> 20)
                } else if text.contains("alloc") || text.contains("limit") || text.contains("exceed") {
                    format!("an object is larger than {} MiB", limits.object_bytes >> 20)
                } else {
                    "the pack is damaged or incomplete".to_owned()
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

    /// Moves the pack to the main objects, durable: the pack first, the index last, for that makes it visible.
    pub(super) fn migrate(&self, outcome: &Outcome) -> Result<()> {
        let (Some(pack), Some(index)) = (&outcome.data_path, &outcome.index_path) else { return Ok(()) };
        let target = self.main.join("pack");
        fs::create_dir_all(&target)?;
        for file in [pack, index] {
            File::open(file)?.sync_all()?;
            let name =
                file.file_name().ok_or_else(|| GitError::Protocol("a pack without a name".to_owned()))?;
            let place = target.join(name);
            if !place.exists() {
                fs::rename(file, place)?;
            }
        }
        Ok(File::open(&target)?.sync_all()?)
    }
}

const TOO_LARGE: &str = "push exceeds the size limit";

struct Limited<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let used = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(used).ok_or_else(|| io::Error::other(TOO_LARGE))?;
        Ok(count)
    }
}
