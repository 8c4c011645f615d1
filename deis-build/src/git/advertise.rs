//! What the server tells a client first: its refs and what it can do.

use std::io::Write;

use gix::{
    bstr::BString,
    hash::{Kind, ObjectId},
};
use gix_packetline::blocking_io::encode;

use super::{
    error::{GitError, Result},
    repo::Repository,
};

/// The two services of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Takes pushes.
    ReceivePack,
    /// Serves clones and fetches.
    UploadPack,
}

const AGENT: &str = concat!("deis/", env!("CARGO_PKG_VERSION"));

impl Service {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReceivePack => "git-receive-pack",
            Self::UploadPack => "git-upload-pack",
        }
    }

    /// The service of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReceivePack, Self::UploadPack].into_iter().find(|s| s.name() == name)
    }
}

impl Repository {
    /// Writes the advertisement; `http` puts the line before it that smart HTTP wants.
    ///
    /// # Errors
    /// [`GitError::Repository`] if the refs cannot be read, [`GitError::Io`] if `out` takes no more.
    pub fn advertise(&self, service: Service, http: bool, out: &mut dyn Write) -> Result<()> {
        let repo = self.gix()?;
        if http {
            encode::text_to_write(format!("# service={}", service.name()).as_bytes(), &mut *out)?;
            encode::flush_to_write(&mut *out)?;
        }
        let capabilities = capabilities(&repo, service);
        let lines = refs(&repo, service)?;
        if lines.is_empty() {
            let null = ObjectId::null(Kind::Sha1);
            encode::data_to_write(
                format!("{null} capabilities^{{}}\0{capabilities}\n").as_bytes(),
                &mut *out,
            )?;
        }
        for (index, (id, name)) in lines.iter().enumerate() {
            let mut line = format!("{id} {name}").into_bytes();
            if index == 0 {
                line.push(0);
                line.extend_from_slice(capabilities.as_bytes());
            }
            line.push(b'\n');
            encode::data_to_write(&line, &mut *out)?;
        }
        let shallow = repo.shallow_commits().map_err(GitError::repository)?;
        for id in shallow.iter().flat_map(|all| all.iter()) {
            encode::data_to_write(format!("shallow {id}").as_bytes(), &mut *out)?;
        }
        encode::flush_to_write(&mut *out)?;
        Ok(out.flush()?)
    }
}

fn capabilities(repo: &gix::Repository, service: Service) -> String {
    match service {
        Service::ReceivePack => format!(
            "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options \
             object-format=sha1 agent={AGENT}"
        ),
        Service::UploadPack => {
            // A name that leads nowhere is not said, as with git: clients take a promise from it, and gix panics.
            let head = repo.head_name().ok().flatten().filter(|_| repo.head_id().is_ok());
            let head = head.map(|name| format!(" symref=HEAD:{}", name.as_bstr())).unwrap_or_default();
            format!(
                "multi_ack_detailed no-done side-band-64k thin-pack ofs-delta no-progress include-tag shallow \
                 deepen-since deepen-not deepen-relative allow-tip-sha1-in-want allow-reachable-sha1-in-want{head} object-format=sha1 agent={AGENT}"
            )
        }
    }
}

fn refs(repo: &gix::Repository, service: Service) -> Result<Vec<(ObjectId, BString)>> {
    let mut refs: Vec<(ObjectId, BString)> = Vec::new();
    let platform = repo.references().map_err(GitError::repository)?;
    for reference in platform.all().map_err(GitError::repository)? {
        let reference = reference.map_err(GitError::repository)?;
        let Some(id) = reference.try_id() else { continue };
        let name = reference.name().as_bstr().to_owned();
        refs.push((id.detach(), name.clone()));
        let tag =
            id.object().ok().filter(|o| service == Service::UploadPack && o.kind == gix::objs::Kind::Tag);
        if let Some(peeled) = tag.and_then(|t| t.peel_tags_to_end().ok()) {
            let mut name = name;
            name.extend_from_slice(b"^{}");
            refs.push((peeled.id, name));
        }
    }
    refs.sort_by(|a, b| a.1.cmp(&b.1));
    if service == Service::UploadPack
        && let Ok(id) = repo.head_id()
    {
        refs.insert(0, (id.detach(), "HEAD".into()));
    }
    Ok(refs)
}
