//! Which tokens there are and what they open.

use crate::view::Meta;
use daybook_schemas::events::{AccessGranted, ContentHash};
use daybook_schemas::{Day, Event, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A token as it was granted, and whether it was revoked since.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Role, subject, portfolios, expiry, hash of the secret.
    pub granted: AccessGranted,
    /// The sequence of the grant.
    pub sequence: u64,
    /// When it was recorded.
    pub granted_at: Timestamp,
    /// The sequence of the revocation.
    pub revoked: Option<u64>,
    /// When that was recorded.
    pub revoked_at: Option<Timestamp>,
    /// The last day, in UTC, on which it was used.
    pub last_used: Option<Day>,
}

impl Grant {
    /// Whether the token opens anything at an instant.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.granted.expires.is_none_or(|expires| now < expires)
    }
}

/// All tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    grants: BTreeMap<TokenId, Grant>,
    by_secret: BTreeMap<ContentHash, TokenId>,
    /// Revocations that were recorded before their grant.
    revoked_unseen: BTreeMap<TokenId, (u64, Timestamp)>,
    /// Uses that were recorded before their grant.
    used_unseen: BTreeMap<TokenId, Day>,
    changed_at: u64,
    used_at: u64,
}

impl Access {
    pub(super) fn apply(&mut self, meta: &Meta, event: &Event) {
        match event {
            Event::AccessGranted(granted) => {
                let revoked = self.revoked_unseen.get(&granted.token).copied();
                self.by_secret.insert(granted.secret_hash, granted.token);
                let grant = Grant {
                    granted: granted.clone(),
                    sequence: meta.sequence,
                    granted_at: meta.recorded_at,
                    revoked: revoked.map(|(sequence, _)| sequence),
                    revoked_at: revoked.map(|(_, at)| at),
                    last_used: self.used_unseen.get(&granted.token).copied(),
                };
                if let Some(earlier) = self.grants.insert(granted.token, grant)
                    && earlier.granted.secret_hash != granted.secret_hash
                {
                    self.by_secret.remove(&earlier.granted.secret_hash);
                }
                self.changed_at = meta.sequence;
            }
            Event::AccessRevoked(revoked) => {
                match self.grants.get_mut(&revoked.token) {
                    Some(grant) if grant.revoked.is_none() => {
                        grant.revoked = Some(meta.sequence);
                        grant.revoked_at = Some(meta.recorded_at);
                    }
                    Some(_) => {}
                    None => {
                        self.revoked_unseen.insert(revoked.token, (meta.sequence, meta.recorded_at));
                    }
                }
                self.changed_at = meta.sequence;
            }
            Event::AccessUsed(used) => {
                // A use says nothing of who may do what: what depends on that stays as it is.
                let last = match self.grants.get_mut(&used.token) {
                    Some(grant) => grant.last_used.get_or_insert(used.on),
                    None => self.used_unseen.entry(used.token).or_insert(used.on),
                };
                *last = used.on.max(*last);
                self.used_at = meta.sequence;
            }
            _ => {}
        }
    }

    /// A token by its id.
    #[must_use]
    pub fn get(&self, id: TokenId) -> Option<&Grant> {
        self.grants.get(&id)
    }

    /// The token of a secret, by the secret's hash; also one that is revoked or expired.
    #[must_use]
    pub fn by_secret(&self, hash: &ContentHash) -> Option<&Grant> {
        self.grants.get(self.by_secret.get(hash)?)
    }

    /// All tokens, by id; ids sort by age.
    pub fn list(&self) -> impl DoubleEndedIterator<Item = &Grant> {
        self.grants.values()
    }

    /// The sequence of the last use that was recorded; 0 for none.
    #[must_use]
    pub fn used_at(&self) -> u64 {
        self.used_at
    }

    /// The sequence of the last grant or revocation; 0 for none.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.changed_at
    }
}
