//! Reading secrets: from a variable's text, or from a file that nobody else can read.

use super::Secret;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest secret, in bytes.
const LONGEST: usize = 8 << 10;

/// The secret that a text is, without the space around it.
pub(super) fn of_text(text: &str) -> Result<Secret, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty: the secret is missing".to_owned());
    }
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err("it holds several lines or control characters: a secret is one line".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// Whether a file is in the directory of credentials that systemd made for this service alone: there the bits of a group
/// are the mask of a list of who may read it.
#[cfg(unix)]
fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
    directory.is_some_and(|directory| path.parent() == Some(Path::new(&directory)))
}

/// The secret that a file holds.
pub(super) fn of_file(path: &Path) -> Result<Secret, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 && !is_credential(path) {
            return Err(format!(
                "others than its owner may use {} (mode {mode:03o}): run `chmod 600 {}`",
                path.display(),
                path.display()
            ));
        }
    }
    let mut bytes = Vec::new();
    file.take(LONGEST as u64 + 2).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not text", path.display()))?;
    of_text(&text).map_err(|why| format!("{}: {why}", path.display()))
}
