//! Lets a build carry one seeded bug, to show that the tests find it. See `seeded-bugs`.

use std::io::{self, Write};

const BUGS: [&str; 6] = [
    "acknowledge_before_sync",
    "skip_crc",
    "cut_at_corruption",
    "reuse_sequence",
    "forget_key",
    "move_cursor_early",
];

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let values = BUGS.map(|bug| format!("\"{bug}\"")).join(", ");
    writeln!(out, "cargo::rerun-if-changed=build.rs")?;
    writeln!(out, "cargo::rerun-if-env-changed=LEDGER_SEEDED_BUG")?;
    writeln!(out, "cargo::rustc-check-cfg=cfg(seeded_bug, values({values}))")?;
    match std::env::var("LEDGER_SEEDED_BUG") {
        Ok(bug) if BUGS.contains(&bug.as_str()) => {
            writeln!(out, "cargo::rustc-cfg=seeded_bug=\"{bug}\"")?;
            writeln!(out, "cargo::warning=this build has the seeded bug {bug}: it is for tests alone")
        }
        Ok(bug) if !bug.is_empty() => Err(io::Error::other(format!("no bug is called {bug}"))),
        _ => Ok(()),
    }
}
