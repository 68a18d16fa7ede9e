//! The id of an account that a file names by a label.

use daybook_schemas::sealed::SealedError;
use daybook_schemas::{AccountId, KeyId, KeyRing, PortfolioId};

/// The id of a portfolio's account, which only the holder of the key can tell from its label. One person's key may
/// seal several portfolios, so the portfolio is a part of it.
///
/// # Errors
/// [`SealedError::NoKey`].
pub(crate) fn account_id(
    keys: &KeyRing,
    key: KeyId,
    portfolio: PortfolioId,
    label: &str,
) -> Result<AccountId, SealedError> {
    let hash = keys.keyed_hash(key, &format!("{portfolio}/{label}"))?;
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Ok(AccountId::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_in_two_portfolios_of_one_person_is_two_accounts() {
        let key = KeyId::Portfolio(PortfolioId::from_bytes([1; 16]));
        let mut keys = KeyRing::default();
        keys.insert(key, [3; 64]);
        let of = |portfolio, label| account_id(&keys, key, PortfolioId::from_bytes([portfolio; 16]), label);
        assert_eq!(of(1, ""), of(1, ""));
        assert_ne!(of(1, ""), of(2, ""));
        assert_ne!(of(1, ""), of(1, "main"));
        assert!(account_id(&KeyRing::default(), key, PortfolioId::from_bytes([1; 16]), "").is_err());
    }
}
