//! Bearer tokens: issued, revoked, recognised. A token's secret is shown once; what is kept is its hash.

use super::heads::Standing;
use super::{Author, Draft, Journal, JournalError, Terms, now};
use crate::importers::invisible;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daybook_ledger::CommitKey;
use daybook_projections::{At, Library, Reach};
use daybook_schemas::events::{AccessGranted, AccessRevoked, ContentHash, Role};
use daybook_schemas::{Day, PartyId, PortfolioId, Timestamp, TokenId, Zone, stream};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use subtle::ConstantTimeEq;

/// The roles that a token can have.
pub(crate) const ROLES: &str = "administrator, advisor, client, auditor, service, display";

/// What every token begins with, so that one that leaked can be recognised.
const PREFIX: &str = "daybook_";

/// A token to be issued.
#[derive(Debug)]
pub(crate) struct NewToken {
    /// What its bearer may do.
    pub(crate) role: Role,
    /// On whose behalf; the token itself, by role and id, if not said.
    pub(crate) subject: Option<String>,
    /// The portfolios it is for.
    pub(crate) portfolios: Vec<PortfolioId>,
    /// When it ends.
    pub(crate) expires: Option<Timestamp>,
    /// Whether it shows percentages alone, never amounts.
    pub(crate) percentages_only: bool,
}

/// A token that was issued.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    /// Its id, by which it is revoked.
    pub(crate) id: TokenId,
    /// The token itself, shown this once.
    pub(crate) secret: String,
}

/// Who calls, as a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The token.
    pub(crate) token: TokenId,
    /// What its bearer may do.
    pub(crate) role: Role,
    /// On whose behalf.
    pub(crate) subject: Box<str>,
    /// What the bearer may know of, by the role and by present assignments.
    pub(crate) reach: Arc<Reach>,
    /// What tells this reach from every other.
    pub(crate) reach_digest: Arc<str>,
    /// Whether the bearer sees percentages alone, never amounts.
    pub(crate) percentages_only: bool,
    /// When the token ends.
    pub(crate) expires: Option<Timestamp>,
}

/// What tokens reached when they were asked for last, so that it is not worked out for each request.
#[derive(Default)]
pub(super) struct Reaches(Mutex<HashMap<TokenId, Reached>>);

#[derive(Clone)]
struct Reached {
    standing: Standing,
    day: Day,
    reach: Arc<Reach>,
    digest: Arc<str>,
}

/// The bearers of tokens that were asked for last, so that most requests wait for nobody.
#[derive(Default)]
pub(super) struct Bearers(RwLock<HashMap<ContentHash, Bearer>>);

struct Bearer {
    standing: Standing,
    day: Day,
    expires: Option<Timestamp>,
    principal: Arc<Principal>,
}

/// The most bearers that are kept.
const BEARERS_MAX: usize = 10_000;

/// A subject as it is compared: an id in its one spelling, whatever spelling it was given in; a name as it is.
pub(super) fn canonical(subject: &str) -> String {
    subject.trim().parse().map_or_else(|_| subject.to_owned(), |id: PartyId| id.to_string())
}

/// The hash by which a token is recognised.
pub(crate) fn secret_hash(secret: &str) -> ContentHash {
    ContentHash::of(secret.as_bytes())
}

fn random<const N: usize>() -> Result<[u8; N], JournalError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| JournalError::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// The present and ten bytes for a new id: random ones, or the next after those of the id made before in the same
/// millisecond, so that ids sort by age whatever the clock does.
pub(crate) fn id_parts() -> Result<(u64, [u8; 10]), JournalError> {
    static LAST: Mutex<(u64, [u8; 10])> = Mutex::new((0, [0; 10]));
    let milliseconds = u64::try_from(now().nanos() / 1_000_000).unwrap_or(0);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if milliseconds > last.0 {
        *last = (milliseconds, random()?);
    } else {
        for byte in last.1.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
    Ok(*last)
}

impl Journal {
    /// Issues a token.
    pub(crate) fn issue_token(
        &self,
        author: &Author,
        new: NewToken,
        commit_key: Option<CommitKey>,
    ) -> Result<IssuedToken, JournalError> {
        self.check_bearer(&new)?;
        if new.expires.is_some_and(|expires| expires <= now()) {
            return Err(JournalError::field("expires", "a token cannot end in the past"));
        }
        let (milliseconds, bytes) = id_parts()?;
        let id = TokenId::new(milliseconds, bytes);
        // Without a subject every token is its own: two programs must not share a name in the log, nor the keys of
        // their requests.
        let subject = new.subject.unwrap_or_else(|| format!("{} {id}", new.role));
        let subject = canonical(subject.trim());
        if subject.is_empty() || subject.len() > 200 || subject.chars().any(invisible::is) {
            return Err(JournalError::field(
                "subject",
                "a subject has 1 to 200 bytes, all of them printable",
            ));
        }
        {
            let library = self.library()?;
            if let Some(unknown) = new.portfolios.iter().find(|id| library.directory.get(**id).is_none()) {
                return Err(JournalError::field("portfolio", format!("there is no portfolio {unknown}")));
            }
        }
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let granted = AccessGranted {
            token: id,
            role: new.role,
            subject: subject.into(),
            portfolios: new.portfolios,
            expires: new.expires,
            secret_hash: secret_hash(&secret),
            percentages_only: new.percentages_only,
        };
        let draft = Draft::new(stream::ACCESS.to_owned(), now(), granted);
        let recorded = self.record(author, vec![draft], Terms { commit_key, ..Terms::default() })?;
        if recorded.already {
            return Err(JournalError::Conflict {
                detail: "this Idempotency-Key issued a token before, and a token is shown once: revoke that one and use a new key"
                    .to_owned(),
                sequence: recorded.sequences.first().copied(),
            });
        }
        Ok(IssuedToken { id, secret })
    }

    /// Revokes a token. Revoking one that is revoked changes nothing.
    pub(crate) fn revoke_token(
        &self,
        author: &Author,
        id: TokenId,
        reason: Option<String>,
        commit_key: Option<CommitKey>,
    ) -> Result<(), JournalError> {
        let known = self.library()?.access.get(id).map(|grant| grant.revoked.is_some());
        match known {
            None => return Err(JournalError::not_found("token", id)),
            Some(true) => return Ok(()),
            Some(false) => {}
        }
        let mut draft = Draft::new(
            stream::ACCESS.to_owned(),
            now(),
            AccessRevoked { token: id, reason: reason.map(Into::into) },
        );
        draft.key = Some(format!("revocation:{id}#0"));
        draft.content_hash = Some(ContentHash::of(id.as_bytes()).0);
        self.record(author, vec![draft], Terms { commit_key, ..Terms::default() })?;
        Ok(())
    }

    /// Whether the role, the subject and the portfolios of a new token go together.
    fn check_bearer(&self, new: &NewToken) -> Result<(), JournalError> {
        let library = self.library()?;
        // Also somebody whose first day is still to come.
        let at = At::on(Day::from_number(i32::MAX));
        let subject = new.subject.as_deref().map(str::trim);
        match new.role {
            Role::Administrator | Role::Auditor if !new.portfolios.is_empty() => {
                return Err(JournalError::field(
                    "portfolio",
                    format!("an {} reaches every portfolio: name none", new.role),
                ));
            }
            Role::Service | Role::Display if new.portfolios.is_empty() => {
                let what = if new.role == Role::Service {
                    "a service's token names the portfolios it appends to"
                } else {
                    "a display's token names the portfolios it shows"
                };
                return Err(JournalError::field("portfolio", what));
            }
            Role::Advisor => {
                let known = subject.and_then(|id| library.firm.advisor(id.parse().ok()?, at));
                if known.is_none() {
                    return Err(JournalError::field(
                        "subject",
                        "an advisor's token is for an advisor of the firm: give the advisor's id",
                    ));
                }
            }
            Role::Client => {
                let known = subject.and_then(|id| library.firm.party(id.parse().ok()?, at));
                if known.is_none() {
                    return Err(JournalError::field(
                        "subject",
                        "a client's token is for a party that was onboarded: give the party's id",
                    ));
                }
            }
            Role::Other(_) => {
                return Err(JournalError::field("role", format!("`{}` is not one of {ROLES}", new.role)));
            }
            _ => {}
        }
        if new.percentages_only && new.role != Role::Display {
            return Err(JournalError::field(
                "percentages_only",
                format!("only a display's token can be kept to percentages, not that of an {}", new.role),
            ));
        }
        Ok(())
    }

    /// Who bears a token, if that was asked before and nothing that it depends on has changed since. Waits for nobody.
    ///
    /// A revocation is taken notice of before it is acknowledged, and an expiry is compared with the present.
    pub(crate) fn authenticate_at_once(&self, secret: &str) -> Option<Arc<Principal>> {
        let hash = secret_hash(secret);
        let now = now();
        let standing = self.heads.standing();
        let bearers = self.bearers.0.read().unwrap_or_else(PoisonError::into_inner);
        let bearer = bearers.get(&hash)?;
        let same = bearer.standing == standing && bearer.day == now.day_in(Zone::UTC);
        let ended = bearer.expires.is_some_and(|expires| now >= expires);
        (same && !ended).then(|| Arc::clone(&bearer.principal))
    }

    /// Who bears a token, if it is one that was issued, is not revoked and has not ended.
    pub(crate) fn authenticate(&self, secret: &str) -> Result<Option<Arc<Principal>>, JournalError> {
        let hash = secret_hash(secret);
        let library = self.library()?;
        let now = now();
        // What is found by its hash is compared once more, in a time that tells nothing of where the two differ.
        let grant = library
            .access
            .by_secret(&hash)
            .filter(|grant| bool::from(grant.granted.secret_hash.0.ct_eq(&hash.0)))
            .filter(|grant| grant.is_valid_at(now));
        let Some(grant) = grant else { return Ok(None) };
        let principal = Arc::new(self.principal(&library, &grant.granted, now));
        let bearer = Bearer {
            standing: Standing::of(&library),
            day: now.day_in(Zone::UTC),
            expires: grant.granted.expires,
            principal: Arc::clone(&principal),
        };
        let mut bearers = self.bearers.0.write().unwrap_or_else(PoisonError::into_inner);
        if bearers.len() >= BEARERS_MAX && !bearers.contains_key(&hash) {
            bearers.clear();
        }
        bearers.insert(hash, bearer);
        Ok(Some(principal))
    }

    /// Who bears a token by its id, while it is not revoked and has not ended.
    pub(crate) fn bearer(&self, token: TokenId) -> Result<Option<Principal>, JournalError> {
        let library = self.library()?;
        let now = now();
        let grant = library.access.get(token).filter(|grant| grant.is_valid_at(now));
        Ok(grant.map(|grant| self.principal(&library, &grant.granted, now)))
    }

    fn principal(&self, library: &Library, granted: &AccessGranted, now: Timestamp) -> Principal {
        let reached = self.reached(library, granted, now);
        Principal {
            token: granted.token,
            role: granted.role.clone(),
            subject: canonical(&granted.subject).into(),
            reach: reached.reach,
            reach_digest: reached.digest,
            percentages_only: granted.percentages_only,
            expires: granted.expires,
        }
    }

    /// What the bearer of a token reaches now. Present assignments decide, also for views of the past.
    fn reached(&self, library: &Library, granted: &AccessGranted, now: Timestamp) -> Reached {
        let day = now.day_in(Zone::UTC);
        let standing = Standing::of(library);
        let mut reaches = self.reaches.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reached) = reaches.get(&granted.token)
            && (reached.standing, reached.day) == (standing, day)
        {
            return reached.clone();
        }
        let reach = library.firm.reach(granted, At::on(day));
        let digest = blake3::hash(format!("{reach:?}").as_bytes()).to_hex()[..32].into();
        let reached = Reached { standing, day, reach: Arc::new(reach), digest };
        reaches.insert(granted.token, reached.clone());
        reached
    }

    /// The tokens, as they are listed.
    pub(crate) fn token_list(&self) -> Result<Vec<Value>, JournalError> {
        let now = now();
        let library = self.library()?;
        Ok(library
            .access
            .list()
            .map(|grant| {
                let state = match (grant.revoked, grant.is_valid_at(now)) {
                    (Some(_), _) => "revoked",
                    (None, true) => "valid",
                    (None, false) => "expired",
                };
                json!({
                    "id": grant.granted.token,
                    "role": grant.granted.role,
                    "subject": grant.granted.subject,
                    "portfolios": grant.granted.portfolios,
                    "percentages_only": grant.granted.percentages_only,
                    "issued_at": grant.granted_at,
                    "expires": grant.granted.expires,
                    "state": state,
                    "last_used": grant.last_used,
                })
            })
            .collect())
    }

    /// Issues the first administrator's token to a ledger that never had one.
    pub(crate) fn first_token(&self) -> Result<Option<IssuedToken>, JournalError> {
        if self.library()?.access.list().next().is_some() {
            return Ok(None);
        }
        let new = NewToken {
            role: Role::Administrator,
            subject: None,
            portfolios: Vec::new(),
            expires: None,
            percentages_only: false,
        };
        self.issue_token(&Author::operator(), new, None).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_within_one_millisecond_sort_by_age_too() {
        let ids: Vec<TokenId> =
            (0..1_000).map(|_| id_parts().map(|(time, bytes)| TokenId::new(time, bytes)).unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }
}
