//! The made-up market: thirty instruments whose prices follow one market and their own chance, over two years of weekdays.

use super::draw::Draw;
use chrono::Datelike;
use daybook_schemas::Day;
use daybook_schemas::events::InstrumentClass;

/// What an instrument is and how it behaves.
pub(super) struct Security {
    pub(super) symbol: &'static str,
    pub(super) name: &'static str,
    pub(super) class: InstrumentClass,
    pub(super) venue: &'static str,
    /// The sector of its business.
    pub(super) sector: &'static str,
    /// The country that withholds a part of its dividends.
    pub(super) withheld_by: Option<&'static str>,
    /// The first price, in cents.
    start_cents: i64,
    /// How much of the market's moves it takes, in percent.
    beta_percent: i64,
    /// Its own daily drift and deviation, in millionths.
    drift_ppm: i64,
    deviation_ppm: i64,
    /// A quarter's dividend, in hundredths of a percent of the price.
    dividend_bp: i64,
}

macro_rules! securities {
    ($($symbol:literal $name:literal $class:ident $sector:literal $venue:literal $withheld:expr, $start:literal $beta:literal $drift:literal $deviation:literal $dividend:literal;)*) => {
        /// Invented companies and funds.
        pub(super) const SECURITIES: &[Security] = &[$(Security {
            symbol: $symbol, name: $name, class: InstrumentClass::$class, venue: $venue, sector: $sector, withheld_by: $withheld,
            start_cents: $start, beta_percent: $beta, drift_ppm: $drift, deviation_ppm: $deviation, dividend_bp: $dividend,
        },)*];
    };
}

//  symbol  name                          class             sector                   venue  withheld    cents  beta  drift  dev.  div.
securities! {
    "DBMX" "Daymark Broad Market ETF"       Etf               "broad_market"           "ARCX" None,       21240  100     0   900   35;
    "DINX" "Daymark International ETF"      Etf               "broad_market"           "ARCX" None,        6410   85   -60  3000   60;
    "DBDX" "Daymark Aggregate Bond ETF"     Etf               "fixed_income"           "ARCX" None,        4925    4   135  2200   85;
    "DSTX" "Daymark Short Treasury ETF"     Etf               "fixed_income"           "ARCX" None,        5010    0   152   350  100;
    "DDVX" "Daymark Dividend ETF"           Etf               "broad_market"           "ARCX" None,        7820   75    40  2500   85;
    "DGDX" "Daymark Gold Trust"             Etf               "precious_metals"        "ARCX" None,        4130   10   250  7500    0;
    "ORVN" "Orvane Systems Inc."            Equity            "technology"             "XNAS" None,       18240  125   250 12000   15;
    "KELD" "Keldra Semiconductors Inc."     Equity            "technology"             "XNAS" None,       41200  160   900 17000    0;
    "TAMQ" "Tamquil Software Corp."         Equity            "technology"             "XNAS" None,       24110  120   200 13000    0;
    "BRVO" "Brevano Foods Co."              Equity            "consumer_staples"       "XNYS" None,        5390   55    40  8000   75;
    "HLSN" "Halsen Energy Corp."            Equity            "energy"                 "XNYS" None,        7125   85    50 14000   95;
    "DUNM" "Dunmore Utilities Inc."         Equity            "utilities"              "XNYS" None,        4810   45    30  7000  100;
    "PXLR" "Pexelar Media Group"            Equity            "communication"          "XNAS" None,        3320  115  -350 17000    0;
    "VNTQ" "Vantique Retail Corp."          Equity            "consumer_discretionary" "XNYS" None,       12830  105   100 13000   30;
    "MRZO" "Marzo Pharmaceuticals Inc."     Equity            "health_care"            "XNAS" None,        8840   70   150 15000   40;
    "KRDL" "Kardall Devices Inc."           Equity            "health_care"            "XNYS" None,       15210   80   200 10000   25;
    "OSTB" "Ostby Bancorp"                  Equity            "financials"             "XNYS" None,        4450  110    50 11000   80;
    "LNDQ" "Lindqvist Insurance Group"      Equity            "financials"             "XNYS" None,        6730   75   120  9000   65;
    "FOWD" "Forward Freight Lines Inc."     Equity            "industrials"            "XNYS" None,       11905   95    80 12000   35;
    "GLSP" "Gelspar Chemicals Corp."        Equity            "materials"              "XNYS" None,        5940  100   -80 12000   60;
    "THRN" "Thornfield Aerospace Inc."      Equity            "industrials"            "XNYS" None,       17330   90   220 11000   30;
    "WYCK" "Wyckham Homes Inc."             Equity            "consumer_discretionary" "XNYS" None,        8215  115   150 13000   25;
    "SBLQ" "Sabelique Cosmetics Inc."       Equity            "consumer_staples"       "XNYS" None,        3910   85  -150 13000   45;
    "NOVQ" "Novaquill Robotics Inc."        Equity            "technology"             "XNAS" None,        6105  175   400 24000    0;
    "ZPHY" "Zephyra Batteries Inc."         Equity            "industrials"            "XNAS" None,        2415  185  -450 28000    0;
    "RUNK" "Runkel Motors Co."              Equity            "consumer_discretionary" "XNYS" None,       10530  130  -100 16000   30;
    "AQLN" "Aquilon Water Co."              Equity            "utilities"              "XNYS" None,        7705   50    90  7500   60;
    "HEXB" "Hexaby Gaming Corp."            Equity            "gambling"               "XNAS" None,        1830  140  -250 22000    0;
    "SVNK" "Svartkraft AB ADR"              DepositaryReceipt "utilities"              "XNYS" Some("SE"),  3120   80    60 11000  110;
    "MBSW" "Mont-Brise Watches SA ADR"      DepositaryReceipt "consumer_discretionary" "XNYS" Some("CH"), 14080   80   100 11000   70;
}

/// The share that is split.
pub(super) const SPLIT_SYMBOL: &str = "KELD";
/// Shares that one becomes.
pub(super) const SPLIT_RATIO: i64 = 4;

/// The place of a symbol in [`SECURITIES`].
pub(super) fn place(symbol: &str) -> usize {
    SECURITIES
        .iter()
        .position(|security| security.symbol == symbol)
        .expect("the symbols of the cast are listed")
}

/// A day of one instrument; prices in cents.
#[derive(Clone, Copy)]
pub(super) struct DayBar {
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
    pub(super) close: i64,
    pub(super) volume: i64,
}

/// A dividend; days by their place in [`Market::days`].
pub(super) struct Dividend {
    pub(super) security: usize,
    pub(super) declared: usize,
    pub(super) ex: usize,
    pub(super) pays: usize,
    /// Cash for one unit, in cents.
    pub(super) cents: i64,
}

/// Weeks of closing prices before the two years, so that risk can be told from their first day.
const WEEKS_BEFORE: usize = 60;

/// Two years of prices.
pub(super) struct Market {
    /// The weekdays, ascending.
    pub(super) days: Vec<Day>,
    /// By place in [`SECURITIES`], then by day.
    pub(super) bars: Vec<Vec<DayBar>>,
    /// The Fridays before the two years with their closes in cents, oldest first; by place in [`SECURITIES`].
    pub(super) before: Vec<Vec<(Day, i64)>>,
    /// By ex day.
    pub(super) dividends: Vec<Dividend>,
    /// The day on whose opening the split takes effect.
    pub(super) split_day: usize,
    /// Dollars for one euro, in ten-thousandths, by day.
    pub(super) euro: Vec<i64>,
}

impl Market {
    /// The two years that end with the last weekday before `today`, so that nothing lies in the future.
    pub(super) fn new(today: Day, seed: u64) -> Self {
        let days: Vec<Day> =
            (1..=731).rev().map(|ago| today.plus_days(-ago)).filter(|day| !day.is_weekend()).collect();
        let moves = market_moves(&mut Draw::new(seed, "market"), days.len());
        let split_day = days.len() * 58 / 100;
        let mut market = Self {
            euro: Vec::new(),
            bars: Vec::new(),
            before: weeks_before(days.first().copied().unwrap_or(today), seed),
            dividends: Vec::new(),
            split_day,
            days,
        };
        for place in 0..SECURITIES.len() {
            market.trade(place, &moves, seed);
        }
        market.dividends.sort_by_key(|dividend| (dividend.ex, dividend.security));
        let mut draw = Draw::new(seed, "euro");
        let mut euro = 1_082_000;
        for _ in &market.days {
            euro = (euro + euro * draw.normal(3_800) / 1_000_000).clamp(950_000, 1_250_000);
            market.euro.push(euro / 100);
        }
        market
    }

    /// Makes up one instrument's bars and dividends.
    fn trade(&mut self, place: usize, moves: &[i64], seed: u64) {
        let security = &SECURITIES[place];
        let mut draw = Draw::new(seed, security.symbol);
        let quarter = draw.between(8, 40);
        let mut micros = security.start_cents * 10_000;
        let mut bars = Vec::with_capacity(moves.len());
        let mut due: Option<(usize, i64)> = None;
        for (day, market) in moves.iter().enumerate() {
            if security.symbol == SPLIT_SYMBOL && day == self.split_day {
                micros /= SPLIT_RATIO;
            }
            if let Some((_, cents)) = due.take_if(|(ex, _)| *ex == day) {
                micros -= cents * 10_000;
            }
            let own = security.drift_ppm + draw.normal(security.deviation_ppm);
            let change = (market * security.beta_percent / 100 + own).clamp(-220_000, 220_000);
            let open = micros + micros / 1_000_000 * change * 3 / 10;
            let close = (micros + micros / 1_000_000 * change).max(2_000_000);
            let reach = (security.deviation_ppm + 5_000 * security.beta_percent / 100) / 2 + 300;
            let mut beyond = || draw.normal(reach).abs();
            let high = open.max(close) + open.max(close) / 1_000_000 * beyond();
            let low = open.min(close) - open.min(close) / 1_000_000 * beyond();
            let cents = |micros: i64| (micros + 5_000) / 10_000;
            let volume = (400_000 + draw.below(600_000)) * (1 + change.abs() / 15_000);
            bars.push(DayBar {
                open: cents(open),
                high: cents(high),
                low: cents(low),
                close: cents(close),
                volume,
            });
            micros = close;
            if security.dividend_bp > 0 && (i64::try_from(day).unwrap_or(0) + quarter) % 65 == 0 {
                let (ex, pays) = (day + 12, day + 22);
                let cash = cents(close) * security.dividend_bp / 10_000;
                if ex < moves.len() && cash > 0 {
                    self.dividends.push(Dividend { security: place, declared: day, ex, pays, cents: cash });
                    due = Some((ex, cash));
                }
            }
        }
        self.bars.push(bars);
    }

    /// A day by its place; beyond the last one, the weekdays that follow.
    pub(super) fn date(&self, place: usize) -> Day {
        if let Some(day) = self.days.get(place) {
            return *day;
        }
        let mut day = self.days.last().copied().unwrap_or_default();
        for _ in self.days.len()..=place {
            day = day.plus_days(1);
            while day.is_weekend() {
                day = day.plus_days(1);
            }
        }
        day
    }

    /// The bar of a day.
    pub(super) fn bar(&self, security: usize, day: usize) -> DayBar {
        self.bars[security][day]
    }

    /// Whether no weekday of the same month follows.
    pub(super) fn ends_month(&self, day: usize) -> bool {
        let month = |day: Day| day.to_date().month();
        let mut next = self.days[day].plus_days(1);
        while next.is_weekend() {
            next = next.plus_days(1);
        }
        month(next) != month(self.days[day])
    }

    /// Whether no weekday of the same quarter follows.
    pub(super) fn ends_quarter(&self, day: usize) -> bool {
        self.ends_month(day) && self.days[day].to_date().month().is_multiple_of(3)
    }
}

/// The weeks before the first day, made up backwards from the first prices.
fn weeks_before(first: Day, seed: u64) -> Vec<Vec<(Day, i64)>> {
    let mut friday = first.plus_days(-1);
    while friday.to_date().weekday() != chrono::Weekday::Fri {
        friday = friday.plus_days(-1);
    }
    let mut draw = Draw::new(seed, "market before");
    let moves: Vec<i64> = (0..WEEKS_BEFORE).map(|_| 2_000 + draw.normal(13_500)).collect();
    SECURITIES
        .iter()
        .map(|security| {
            let mut draw = Draw::new(seed, &format!("{} before", security.symbol));
            let mut micros = security.start_cents * 10_000;
            let mut weeks = Vec::with_capacity(moves.len());
            for (week, market) in (0..).zip(&moves) {
                weeks.push((friday.plus_days(-7 * week), (micros + 5_000) / 10_000));
                // The deviation of five days is that of one times the root of five.
                let own = security.drift_ppm * 5 + draw.normal(security.deviation_ppm * 2_236 / 1_000);
                let change = (market * security.beta_percent / 100 + own).clamp(-300_000, 300_000);
                micros = micros * 1_000_000 / (1_000_000 + change);
            }
            weeks.reverse();
            weeks
        })
        .collect()
}

/// The market's daily moves in millionths: a rise, a fall of some months that nobody can overlook, and a recovery.
fn market_moves(draw: &mut Draw, days: usize) -> Vec<i64> {
    (0..days)
        .map(|day| {
            let (drift, deviation) = match day * 1_000 / days {
                0..430 => (700, 6_000),
                430..545 => (-3_600, 12_000),
                545..640 => (1_700, 9_500),
                _ => (650, 6_500),
            };
            drift + draw.normal(deviation)
        })
        .collect()
}
