//! The stand-in as a program: a broker and its market on a port, for whoever speaks Alpaca.

use clap::Parser;
use daybook_schemas::Timestamp;
use daybook_simulator::{
    Clock, FastClock, Hours, Keys, Life, PerMillion, Rates, Running, StandIn, SystemClock, World,
};
use rust_decimal::Decimal;
use std::io::{self, Write};

/// A stand-in for Alpaca: a made-up market, a paper account, and what can go wrong.
#[derive(Debug, Parser)]
#[command(name = "stand-in", version)]
struct Arguments {
    /// Where to listen; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// The same seed gives the same market, the same orders and the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times as fast as everybody's the world's time runs
    #[arg(long, default_value_t = 1)]
    speed: u32,
    /// When the world begins (RFC 3339); now, where nothing is said
    #[arg(long)]
    start: Option<String>,
    /// How often each fault happens: 0.02 is one in fifty answers and messages
    #[arg(long, default_value = "0")]
    faults: Decimal,
    /// An account's key and secret; may be given several times
    #[arg(long, value_name = "KEY:SECRET", default_value = "PKSTANDIN:stand-in-secret")]
    keys: Vec<String>,
    /// How many orders somebody places on each account in a minute; 0 leaves it to you
    #[arg(long, default_value_t = 0)]
    fills_per_minute: u32,
    /// Requests a minute and key; 0 is no limit
    #[arg(long, default_value_t = 200)]
    requests_per_minute: u32,
    /// Live accounts instead of paper: dividends, text frames
    #[arg(long)]
    live: bool,
    /// Shares trade in New York's hours only, not around the clock
    #[arg(long)]
    hours: bool,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            // Where stderr is gone, nobody reads it.
            drop(writeln!(io::stderr(), "stand-in: {message}"));
            std::process::ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let start = match &arguments.start {
        Some(text) => Timestamp::parse(text).map_err(|error| error.to_string())?,
        None => SystemClock.now(),
    };
    let world = world(arguments, start)?;
    let cannot = |error: io::Error| format!("cannot serve on {}: {error}", arguments.listen);
    let running = if arguments.start.is_none() && arguments.speed <= 1 {
        StandIn::start(&arguments.listen, world, SystemClock).map_err(cannot)?
    } else {
        StandIn::start(&arguments.listen, world, FastClock::new(start, arguments.speed)).map_err(cannot)?
    };
    announce(&running).map_err(|error| format!("cannot write: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(stop_signal()).map_err(|error| error.to_string())?;
    running.stop();
    Ok(())
}

fn world(arguments: &Arguments, start: Timestamp) -> Result<World, String> {
    let mut world = World::new(arguments.seed, start);
    world.set_hours(if arguments.hours { Hours::NewYork } else { Hours::Always });
    world.limits.per_minute = Some(arguments.requests_per_minute).filter(|limit| *limit > 0);
    if arguments.faults.is_sign_negative() || arguments.faults > Decimal::ONE {
        return Err("--faults is a share between 0 and 1".to_owned());
    }
    let rate = u32::try_from((arguments.faults * Decimal::from(1_000_000)).trunc()).unwrap_or(0);
    world.faults.rates = Rates::all(PerMillion(rate));
    for pair in &arguments.keys {
        let (id, secret) =
            pair.split_once(':').ok_or_else(|| format!("--keys `{pair}` must be KEY:SECRET"))?;
        world.open(&Keys::new(id, secret), !arguments.live, Decimal::from(100_000));
        if arguments.fills_per_minute > 0 {
            world.animate(Life::new(arguments.seed, id, arguments.fills_per_minute.saturating_mul(60)));
        }
    }
    Ok(world)
}

/// In the words of the environment variables that a client takes them from.
fn announce(running: &Running) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "APCA_API_BASE_URL={}", running.base_url())?;
    writeln!(out, "APCA_API_STREAM_URL={}", running.stream_url())?;
    writeln!(out, "APCA_API_DATA_URL={}", running.data_url())?;
    writeln!(out, "APCA_API_DATA_STREAM_URL={}", running.data_stream_url())?;
    out.flush()
}

async fn stop_signal() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}
