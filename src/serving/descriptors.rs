//! The process's room for connections: each takes a file descriptor, and the system gives a few by default.

/// Descriptors that connections leave to everything else: the ledger's files, the daemons' sockets.
const RESERVED: u64 = 512;

/// Asks the system for as many file descriptors as it gives, and says how many connections fit of those that are
/// wanted; at least a quarter of what there is.
pub(crate) fn make_room(wanted: u32) -> u32 {
    let Some(given) = raise() else { return wanted };
    let free = given.saturating_sub(RESERVED).max(given / 4);
    let fit = u32::try_from(free).unwrap_or(u32::MAX).min(wanted).max(1);
    if fit < wanted {
        tracing::warn!(
            "the system gives this process {given} file descriptors, so that {fit} connections fit and not {wanted}: raise \
             its limit (LimitNOFILE=, ulimit -n), or lower connections_max"
        );
    }
    fit
}

/// Raises the soft limit to the hard one; what is given then, if there is a limit.
#[cfg(unix)]
fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "the limit of file descriptors could not be raised");
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn raise() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn the_process_has_all_descriptors_it_may_have_and_connections_leave_some() {
        use rustix::process::{Resource, getrlimit};
        let fit = super::make_room(u32::MAX);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(limit.current.is_none_or(|given| u64::from(fit) < given));
        assert_eq!(super::make_room(5), 5);
    }
}
