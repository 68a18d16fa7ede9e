//! What the system says of this process, where it says something.

/// The process as the system sees it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Process {
    /// Memory that is in use, in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// File descriptors that are in use.
    pub(super) descriptors: Option<u64>,
    /// Threads.
    pub(super) threads: Option<u64>,
}

/// Asks the system.
pub(super) fn now() -> Process {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    Process {
        resident_bytes: field("VmRSS").map(|kibibytes| kibibytes * 1024),
        // The directory that is read is itself one of them.
        descriptors: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| (entries.count() as u64).saturating_sub(1)),
        threads: field("Threads"),
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_knows_this_process() {
        let process = super::now();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(process.descriptors.is_some_and(|count| count >= 3), "{process:?}");
        assert!(process.threads.is_some_and(|count| count >= 1), "{process:?}");
    }
}
