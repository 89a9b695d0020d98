//! `novacron-link calibrate`: every cell of the matrix, or a part of it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use novacron_emulator::calibration::{Cell, Measured, measure_long_loss};

/// Which cells; all of them by default. The machine should have nothing else to do.
#[derive(Debug, clap::Args)]
pub(crate) struct CalibrateArguments {
    /// Rates in 10^6 bit/s
    #[arg(long, value_delimiter = ',', default_values_t = [20.0, 100.0, 500.0])]
    rate: Vec<f64>,
    /// Round-trip times in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [2, 50, 150, 300])]
    rtt: Vec<u64>,
    /// Losses in percent
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.1, 1.0, 5.0])]
    loss: Vec<f64>,
    /// Milliseconds that each stream lasts
    #[arg(long, default_value_t = 1_500)]
    length: u64,
    /// Leave the long runs out, which tell 2 % of a loss from chance
    #[arg(long)]
    no_long_loss: bool,
}

pub(crate) fn run(arguments: &CalibrateArguments) -> Result<ExitCode> {
    let mut misses = 0;
    println!("{HEADER}");
    for mbps in &arguments.rate {
        for rtt in &arguments.rtt {
            for loss_percent in &arguments.loss {
                let rtt = Duration::from_millis(*rtt);
                let cell = Cell { mbps: *mbps, rtt, loss_percent: *loss_percent };
                let measured = cell.measure(Duration::from_millis(arguments.length))?;
                let is_within = measured.is_within(BAND);
                misses += usize::from(!is_within);
                println!("{}", row(&measured, if is_within { "ok" } else { "MISS" }));
            }
        }
    }
    let losses = arguments.loss.iter().filter(|loss| **loss > 0.0 && !arguments.no_long_loss);
    for asked in losses {
        let measured = measure_long_loss(*asked)?;
        let error = measured / asked - 1.0;
        let verdict = if error.abs() <= BAND { "ok" } else { "MISS" };
        misses += usize::from(error.abs() > BAND);
        let error = error * 100.0;
        println!("long run: loss {asked} % measured {measured:.4} % ({error:+.2} %) {verdict}");
    }
    println!("{misses} outside of 2 %");
    Ok(if misses == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn row(measured: &Measured, verdict: &str) -> String {
    let asked = measured.asked;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "| {:>4} | {:>3} | {:>4} | {:>7.2} | {:>+6.2} % | {:>8.3} | {:>+6.2} % | {:>5.0} | {:>7.4} | {:>+5.1} | {:>4} | {:>5} | {:>4} | {verdict} |",
        asked.mbps,
        ms(asked.rtt),
        asked.loss_percent,
        measured.mbps,
        measured.rate_error() * 100.0,
        ms(measured.rtt),
        measured.rtt_error() * 100.0,
        measured.own_rtt.as_secs_f64() * 1e6,
        measured.loss_percent,
        measured.loss_deviations(),
        measured.stray,
        measured.late_1ms,
        measured.overrun,
    )
}

const BAND: f64 = 0.02;
const HEADER: &str = "\
| Mbit/s | RTT ms | loss % | Mbit/s measured | error | RTT ms measured | error | ends' own us | loss % measured | sigmas | stray | late 1 ms | overrun | |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";
