//! The rules about money: the reserve, cash that must not run out, cost, and the way toward the targets.

use super::{COST_SHARE_BLOCK, COST_SHARE_WARN, NAMES_MAX, Screening, finding, named};
use crate::suitability::drift::drift;
use crate::suitability::words::{amount, percent};
use crate::suitability::{Allocation, Line};
use daybook_schemas::events::{InvestmentProfileSet, RuleFinding, Side, Verdict};
use daybook_schemas::{Currency, decimal};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

impl Screening<'_> {
    pub(super) fn liquidity(&self, profile: &InvestmentProfileSet) -> Option<RuleFinding> {
        let reserve = profile.liquidity_reserve?;
        let version = profile.version;
        let rule = "liquidity_reserve";
        if reserve.currency() != self.after.currency {
            let words = format!(
                "the reserve is stated in {} and the portfolio in {}: state it in {}",
                reserve.currency(),
                self.after.currency,
                self.after.currency
            );
            return Some(finding(rule, Verdict::Unknown, None, None, words));
        }
        let limit = reserve.amount();
        let cash = match self.after.cash_value() {
            Ok(cash) => cash,
            Err(reason) => {
                let words = format!("the cash after the trades is not known: {reason}");
                return Some(finding(rule, Verdict::Unknown, None, Some(limit), words));
            }
        };
        let verdict = if cash >= limit {
            Verdict::Pass
        } else if self.before.cash_value().is_ok_and(|before| cash > before) {
            Verdict::Warn
        } else {
            Verdict::Block
        };
        let words = format!(
            "cash after the trades is {}; profile version {version} keeps {} at hand",
            amount(cash, self.after.currency),
            amount(limit, self.after.currency)
        );
        Some(finding(rule, verdict, Some(cash), Some(limit), words))
    }

    /// Cash must cover the trades and their cost, all of it together and that of each currency that they are paid in:
    /// what lies there in another currency pays for nothing before somebody exchanges it.
    pub(super) fn cash(&self) -> RuleFinding {
        let limit = Some(Decimal::ZERO);
        let known = self.after.cash_value().and_then(|all| Ok((all, self.after.cash.clone()?)));
        let (all, by_currency) = match known {
            Ok(known) => known,
            Err(reason) => {
                let words = format!("the cash after the trades is not known: {reason}");
                return finding("cash", Verdict::Unknown, None, limit, words);
            }
        };
        let base = self.after.currency;
        let verdict_on = |after: Decimal, before: Option<Decimal>| {
            if after >= Decimal::ZERO {
                Verdict::Pass
            } else if before.is_some_and(|before| after > before) {
                Verdict::Warn
            } else {
                Verdict::Block
            }
        };
        let mut worst = (verdict_on(all, self.before.cash_value().ok()), all);
        let mut words = format!("cash after the trades and their cost is {}", amount(all, base));
        let in_currency = |allocation: &Allocation, currency| {
            allocation.cash.as_ref().map(|cash| cash.get(&currency).copied().unwrap_or_default()).ok()
        };
        for currency in self.spent() {
            let after = by_currency.get(&currency).copied().unwrap_or_default();
            let verdict = verdict_on(after, in_currency(self.before, currency));
            if verdict == Verdict::Pass || by_currency.len() < 2 {
                continue;
            }
            words.push_str(&format!(
                "; of it {} in {currency}, and no exchange into {currency} is among the trades",
                amount(after, base)
            ));
            if worst.0 == Verdict::Pass || (verdict == Verdict::Block && worst.0 != Verdict::Block) {
                worst = (verdict, after);
            }
        }
        finding("cash", worst.0, Some(worst.1), limit, words)
    }

    /// The currencies that the trades and their cost are paid out of.
    fn spent(&self) -> BTreeSet<Currency> {
        let bought = self.trades.iter().filter(|trade| trade.side == Side::Buy).map(|trade| trade.currency);
        let cost = self.cost.filter(|cost| *cost > Decimal::ZERO).map(|_| self.after.currency);
        bought.chain(cost).collect()
    }

    /// What would be sold beyond what is held.
    pub(super) fn short_sale(&self) -> Option<RuleFinding> {
        let sold: Vec<&Line> = self
            .trades
            .iter()
            .filter(|trade| trade.side == Side::Sell)
            .filter_map(|trade| self.after.lines.get(&trade.instrument))
            .filter(|line| line.quantity.is_some_and(|quantity| quantity < Decimal::ZERO))
            .collect();
        if sold.is_empty() {
            return None;
        }
        let words =
            format!("more of {} would be sold than is held: a short position would stand open", named(&sold));
        Some(finding("short_sale", Verdict::Warn, None, None, words))
    }

    pub(super) fn cost(&self) -> Option<RuleFinding> {
        let currency = self.after.currency;
        let Some(cost) = self.cost else {
            if self.trades.is_empty() {
                return None;
            }
            let words = "nobody said what the trades are expected to cost".to_owned();
            return Some(finding("cost", Verdict::Warn, None, Some(COST_SHARE_WARN), words));
        };
        let traded = self.trades.iter().try_fold(Decimal::ZERO, |sum, trade| {
            decimal::add(sum, trade.amount.clone()?).map_err(|error| error.to_string())
        });
        // Without a trade there is nothing else to hold a cost against than what it is taken from.
        let (of, what) = match traded {
            Ok(traded) if traded > Decimal::ZERO => (Ok(traded), "what is traded"),
            Ok(_) => (self.before.equity(), "equity"),
            Err(reason) => (Err(reason), "what is traded"),
        };
        let share = of.and_then(|of| {
            let share =
                decimal::divide(cost, of, decimal::QUOTIENT_SCALE).map_err(|error| error.to_string())?;
            Ok((share, of))
        });
        let (share, of) = match share {
            Ok(found) => found,
            Err(reason) => {
                let words = format!(
                    "what the cost of {} is a part of is not known: {reason}",
                    amount(cost, currency)
                );
                return Some(finding("cost", Verdict::Unknown, None, Some(COST_SHARE_WARN), words));
            }
        };
        let (verdict, limit) = if share > COST_SHARE_BLOCK || share < Decimal::ZERO {
            (Verdict::Block, COST_SHARE_BLOCK)
        } else if share > COST_SHARE_WARN {
            (Verdict::Warn, COST_SHARE_WARN)
        } else {
            (Verdict::Pass, COST_SHARE_WARN)
        };
        let words = format!(
            "an expected cost of {} is {} of {what}, {}; above {} somebody should look, above {} it is too much",
            amount(cost, currency),
            percent(share),
            amount(of, currency),
            percent(COST_SHARE_WARN),
            percent(COST_SHARE_BLOCK)
        );
        Some(finding("cost", verdict, Some(share), Some(limit), words))
    }

    pub(super) fn drift(&self) -> Option<RuleFinding> {
        if self.targets.is_empty() {
            return None;
        }
        let of = |allocation: &Allocation| drift(allocation, self.targets, self.classify, self.canonical);
        let after = match of(self.after) {
            Ok(after) => after,
            Err(reason) => {
                let words = format!(
                    "how far the portfolio is from its targets after the trades is not known: {reason}"
                );
                return Some(finding("drift", Verdict::Unknown, None, None, words));
            }
        };
        let off: Vec<String> = after
            .lines
            .iter()
            .filter(|line| line.alert)
            .take(NAMES_MAX)
            .map(|line| format!("{} at {} for {}", line.name, percent(line.weight), percent(line.aimed)))
            .collect();
        let off = if off.is_empty() { "every weight is within its band".to_owned() } else { off.join(", ") };
        let before = of(self.before);
        let (verdict, limit, words) = match &before {
            Ok(before) if after.distance <= before.distance || !after.alerts() => (
                Verdict::Pass,
                Some(before.distance),
                format!(
                    "the portfolio is {} from its targets after the trades, {} before: {off}",
                    percent(after.distance),
                    percent(before.distance)
                ),
            ),
            Ok(before) => (
                Verdict::Warn,
                Some(before.distance),
                format!(
                    "the trades lead away from the targets: {} after them, {} before: {off}",
                    percent(after.distance),
                    percent(before.distance)
                ),
            ),
            Err(reason) => (
                if after.alerts() { Verdict::Warn } else { Verdict::Pass },
                None,
                format!(
                    "the portfolio is {} from its targets after the trades; before them it is not known ({reason}): {off}",
                    percent(after.distance)
                ),
            ),
        };
        Some(finding("drift", verdict, Some(after.distance), limit, words))
    }
}
