//! The id that an order is given at a broker by whoever places it, and the strategy that it carries.

use crate::importers::invisible;

/// The longest name of a strategy that an order carries, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The strategy that an order's own id carries: what stands before its first colon. Where that is `strategy` itself, the
/// next word is the name, so that `strategy:breakout:17` and `breakout:17` are two orders of one strategy. An id that a
/// program made up of digits and hyphens carries none.
pub(crate) fn strategy(client_order_id: &str) -> Option<&str> {
    let (first, rest) = client_order_id.split_once(':')?;
    let name = if first == "strategy" { rest.split(':').next().unwrap_or(rest) } else { first };
    let name = name.trim();
    let plain = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(invisible::is);
    plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_own_id_may_carry_the_strategy() {
        assert_eq!(strategy("breakout:0001"), Some("breakout"));
        assert_eq!(strategy("strategy:breakout"), Some("breakout"));
        assert_eq!(strategy("strategy:breakout:0001"), Some("breakout"));
        assert_eq!(strategy("strategy:mean reversion"), Some("mean reversion"));
        assert_eq!(strategy("904837e3-3b76-47ec-b432-046db621571b"), None);
        for id in
            [":1", "strategy:", "strategy::1", "breakout", "a\u{202e}b:1", &format!("{}:1", "x".repeat(65))]
        {
            assert_eq!(strategy(id), None, "{id}");
        }
    }
}
