//! The values of a transaction, each read from its column with the signs that its type asks for.

use super::Reading;
use super::rules::Type;
use crate::importers::columns::Column;
use crate::importers::symbols::{self, Symbol};
use daybook_schemas::events::Effect;
use daybook_schemas::{Currency, Day, FxRate, Multiplier, Ratio, decimal};
use rust_decimal::Decimal;

/// The most bytes of a note.
const NOTE_BYTES_MAX: usize = 16_384;
/// The most bytes of any other text.
const TEXT_BYTES_MAX: usize = 512;

/// The typed values of a row; which of them are there, its type has decided.
#[derive(Default)]
pub(super) struct Values {
    pub(super) quantity: Option<Decimal>,
    pub(super) price: Option<Decimal>,
    pub(super) ratio: Option<Ratio>,
    pub(super) amount: Option<Decimal>,
    pub(super) fee: Option<Decimal>,
    pub(super) currency: Option<Currency>,
    pub(super) fee_currency: Option<Currency>,
    pub(super) multiplier: Option<Multiplier>,
    pub(super) fx_rate: Option<FxRate>,
    pub(super) basis: Option<Decimal>,
    pub(super) acquired: Option<Day>,
    pub(super) effect: Option<Effect>,
    pub(super) symbol: Option<Symbol>,
    pub(super) to_symbol: Option<Symbol>,
    pub(super) isin: Option<String>,
    pub(super) mic: Option<String>,
    pub(super) settle: Option<Day>,
}

impl Reading<'_, '_, '_> {
    pub(super) fn read<T>(
        &mut self,
        column: Column,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(self.cells.get(column)?) {
            Ok(value) => Some(value),
            Err(text) => {
                self.fault(column, text);
                None
            }
        }
    }

    /// A number greater than zero.
    fn positive(&mut self, column: Column) -> Option<Decimal> {
        let name = column.name();
        self.read(column, |text| {
            let value = decimal::parse(text)?;
            if value > Decimal::ZERO {
                return Ok(value);
            }
            Err(format!("`{name}` must be greater than 0, not {value}: the type says which way it goes"))
        })
    }

    /// A number that is not negative.
    fn not_negative(&mut self, column: Column) -> Option<Decimal> {
        let name = column.name();
        self.read(column, |text| {
            let value = decimal::parse(text)?;
            if value >= Decimal::ZERO {
                Ok(value)
            } else {
                Err(format!("`{name}` must not be negative, not {value}"))
            }
        })
    }

    /// Reads every column that is filled.
    pub(super) fn values(&mut self) -> Values {
        let mut values = Values::default();
        match self.kind {
            Type::Split if !self.states_units() => values.ratio = self.read(Column::Quantity, Ratio::parse),
            Type::Adjustment | Type::Split => {
                values.quantity = self.read(Column::Quantity, |text| {
                    let value = decimal::parse(text)?;
                    if value.is_zero() { Err("0 units change nothing".to_owned()) } else { Ok(value) }
                });
            }
            _ => values.quantity = self.positive(Column::Quantity),
        }
        if self.kind == Type::Exchange {
            values.ratio = self.read(Column::Price, Ratio::parse);
        } else {
            values.price = self.not_negative(Column::Price);
        }
        values.amount = self.read(Column::Amount, decimal::parse);
        values.fee = self.read(Column::Fee, decimal::parse);
        values.currency = self.read(Column::Currency, Currency::parse);
        values.fee_currency = self.read(Column::FeeCurrency, Currency::parse);
        values.multiplier = self.positive(Column::Multiplier).map(Multiplier::new);
        values.fx_rate = self.positive(Column::FxRate).map(FxRate::new);
        values.basis = self.not_negative(Column::Basis);
        if self.kind == Type::SpinOff && values.basis.is_some_and(|share| share > Decimal::ONE) {
            self.fault(
                Column::Basis,
                "`basis` of a spin-off is the share of the parent's basis, from 0 to 1",
            );
        }
        let day = |text: &str| Day::parse(text).map_err(|error| error.to_string());
        values.acquired = self.read(Column::Acquired, day);
        values.settle = self.read(Column::Settle, day);
        values.effect = self.read(Column::Effect, |text| match text.to_ascii_lowercase().as_str() {
            "open" => Ok(Effect::Open),
            "close" => Ok(Effect::Close),
            _ => Err(format!(
                "`{}` is not an effect: write open or close, or leave it empty",
                decimal::shorten(text)
            )),
        });
        if self.kind != Type::Convert {
            values.symbol = self.read(Column::Symbol, symbols::read);
        }
        values.to_symbol = self.read(Column::ToSymbol, symbols::read);
        values.isin = self.read(Column::Isin, symbols::isin);
        values.mic = self.read(Column::Mic, symbols::mic);
        for column in [Column::Id, Column::Strategy, Column::Account, Column::Kind, Column::Group] {
            self.read(column, |text| {
                if text.len() > TEXT_BYTES_MAX {
                    return Err(format!("it has {} bytes; at most {TEXT_BYTES_MAX} are kept", text.len()));
                }
                if text.chars().any(char::is_control) {
                    Err("it spans lines or holds control characters".to_owned())
                } else {
                    Ok(())
                }
            });
        }
        self.read(Column::Note, |text| {
            if text.len() > NOTE_BYTES_MAX {
                return Err(format!("it has {} bytes; at most {NOTE_BYTES_MAX} are kept", text.len()));
            }
            Ok(())
        });
        self.check_signs(&values);
        values
    }

    /// The signs of amounts that depend on nothing but the type.
    fn check_signs(&mut self, values: &Values) {
        let Some(amount) = values.amount else { return };
        let (zero, securities) = (Decimal::ZERO, values.symbol.is_some());
        let rule = match self.kind {
            Type::Deposit if amount <= zero => "a deposit brings cash in: `amount` must be greater than 0",
            Type::Withdrawal if amount >= zero => "a withdrawal takes cash out: `amount` must be less than 0",
            Type::Fee | Type::Tax if amount.is_zero() => {
                "a charge is less than 0 and a rebate greater than 0: `amount` must not be 0"
            }
            Type::TransferIn if securities && amount < zero => {
                "the market value of what came in must not be negative"
            }
            Type::TransferIn if !securities && amount <= zero => {
                "a transfer in brings cash in: `amount` must be greater than 0"
            }
            Type::TransferOut if !securities && amount >= zero => {
                "a transfer out takes cash out: `amount` must be less than 0"
            }
            Type::Convert if amount >= zero => "what was sold goes out: `amount` must be less than 0",
            Type::ReturnOfCapital | Type::CashInLieu if amount <= zero => {
                "it is paid to the holder: `amount` must be greater than 0"
            }
            Type::Exchange if amount < zero => "it is the cash received: `amount` must be greater than 0",
            _ => return,
        };
        self.fault(Column::Amount, format!("{rule}, not {amount}"));
    }
}
