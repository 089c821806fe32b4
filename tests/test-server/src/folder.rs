//! Where a server lives.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A socket address holds 107 bytes; this leaves room for the folder's own name and the socket's.
const LONGEST_PARENT: usize = 70;

/// A server's own folder, readable by nobody else.
///
/// Its path goes into a socket address, a URL and command lines, so it is short and plain.
pub(crate) struct Folder {
    path: PathBuf,
    name: String,
    of_root: bool,
}

impl Folder {
    /// Makes an empty folder. Removing it is the business of the [`Keeper`](crate::keeper::Keeper).
    pub(crate) fn create() -> io::Result<Folder> {
        let parent = Some(std::env::temp_dir()).filter(|dir| fits(dir)).unwrap_or_else(|| PathBuf::from("/tmp"));
        let private = Permissions::from_mode(0o700);
        let path = tempfile::Builder::new().prefix("lock-").permissions(private).tempdir_in(parent)?.keep();
        let name = path.to_str().expect("the path is plain").to_owned();
        // Who owns what we make is who we are.
        let of_root = path.metadata()?.uid() == 0;
        Ok(Folder { path, name, of_root })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path as text.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether we are root: a server refuses to run as root unless told to.
    pub(crate) fn of_root(&self) -> bool {
        self.of_root
    }
}

fn fits(parent: &Path) -> bool {
    parent.is_absolute()
        && parent.to_str().is_some_and(|text| {
            text.len() <= LONGEST_PARENT && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_and_plain_parents_fit() {
        assert!(fits(Path::new("/tmp")));
        assert!(fits(Path::new("/var/folders/a_b/T-1.x")));
        assert!(!fits(Path::new("/tmp/with blank")));
        assert!(!fits(Path::new("/tmp/it's")));
        assert!(!fits(Path::new("relative")));
        assert!(!fits(&Path::new("/tmp").join("x".repeat(LONGEST_PARENT))));
    }
}
