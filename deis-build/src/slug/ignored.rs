//! What `.slugignore` files leave out of a slug, by the rules of `.gitignore`.

use std::{io, path::Path};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::buildpack::control_files;

/// Name of the files that say what is left out, of what is beside and below them.
const NAME: &str = ".slugignore";

/// The patterns of the folders on the way to the one that is looked at, the outermost first.
#[derive(Default)]
pub(super) struct Ignored {
    levels: Vec<Gitignore>,
    /// Patterns that can match nothing, for people.
    pub(super) mistakes: Vec<String>,
}

impl Ignored {
    /// Goes down into `folder`, which stands at `below` in the slug.
    pub(super) fn enter(&mut self, folder: &Path, below: &Path) -> io::Result<()> {
        let mut builder = GitignoreBuilder::new(below);
        // A bracket without its other half matches nothing in git.
        builder.allow_unclosed_class(false);
        let text = control_files::read(folder, NAME)?.unwrap_or_default();
        for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(&text).lines().enumerate() {
            // Git takes a pattern that it cannot read for one that matches nothing.
            if let Err(error) = builder.add_line(None, line) {
                self.mistakes.push(format!("{}, line {}: {error}", below.join(NAME).display(), number + 1));
            }
        }
        let level =
            builder.build().map_err(|e| super::refused(format!("{}: {e}", below.join(NAME).display())))?;
        self.levels.push(level);
        Ok(())
    }

    /// Leaves the folder that was entered last.
    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether an entry of the folder that was entered last is left out. Of several patterns the innermost, and there
    /// the last, decides; what is in a folder that is left out cannot be brought back.
    pub(super) fn has(&self, path: &Path, is_dir: bool) -> bool {
        let decided =
            self.levels.iter().rev().map(|level| level.matched(path, is_dir)).find(|m| !m.is_none());
        decided.is_some_and(|found| found.is_ignore())
    }
}
