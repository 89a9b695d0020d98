//! `novacron host metrics` and `novacron vm metrics`: the newest values, and the last hour's shape.

use novacron_protocol::ByteCount;
use novacron_protocol::api::UtcTime;
use novacron_protocol::api::host::HostView;
use novacron_protocol::api::metrics::{HostMetricsView, HostPoint, VmMetricsView, VmPoint};
use novacron_protocol::api::vm::VmView;

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::age;
use crate::output::sparkline::sparkline;
use crate::output::table::{Cell, Table};
use crate::resolve;

/// Bars of a sparkline: one for each two minutes of the hour.
const SPARKLINE_WIDTH: usize = 30;

pub(super) fn host(invocation: &Invocation, client: &Client, host: &str) -> Result<(), Failure> {
    let host = resolve::find::<HostView>(client, host)?;
    let target = format!("/hosts/{}/metrics", host.view.id);
    let metrics: Answer<HostMetricsView> = client.get(&target)?;
    let name = host.view.name.as_str();
    invocation.output.show(&metrics.value, || {
        let samples = &metrics.view.samples;
        let ats = samples.iter().map(|sample| sample.at);
        report(invocation, name, ats, samples, host_series)
    })
}

pub(super) fn vm(invocation: &Invocation, client: &Client, vm: &str) -> Result<(), Failure> {
    let vm = resolve::find::<VmView>(client, vm)?;
    let target = format!("/vms/{}/metrics", vm.view.id);
    let metrics: Answer<VmMetricsView> = client.get(&target)?;
    let name = vm.view.name.as_str();
    invocation.output.show(&metrics.value, || {
        let samples = &metrics.view.samples;
        let ats = samples.iter().map(|sample| sample.at);
        report(invocation, name, ats, samples, vm_series)
    })
}

/// One quantity over time.
struct Series {
    name: &'static str,
    values: Vec<f64>,
    unit: Unit,
    /// The value of a full bar, where the quantity has a limit.
    top: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    /// Thousandths of all processors.
    Permille,
    /// Thousandths of one processor.
    Milli,
    Bytes,
    BytesPerSecond,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Permille => format!("{:.1} %", value / 10.0),
            Self::Milli => format!("{:.2}", value / 1000.0),
            Self::Bytes => ByteCount(value as u64).to_string(),
            Self::BytesPerSecond => format!("{}/s", ByteCount(value as u64)),
        }
    }
}

fn series<P>(
    name: &'static str,
    points: &[P],
    unit: Unit,
    top: Option<f64>,
    value: impl Fn(&P) -> f64,
) -> Series {
    Series { name, values: points.iter().map(value).collect(), unit, top }
}

fn host_series(points: &[HostPoint]) -> Vec<Series> {
    let newest = points.last().map(|point| &point.sample);
    let memory = newest.map(|sample| sample.memory_total_bytes as f64);
    let disk = newest.map(|sample| sample.disk_total_bytes as f64);
    vec![
        series("cpu", points, Unit::Permille, Some(1000.0), |p| p.sample.cpu_busy_permille.into()),
        series("load", points, Unit::Milli, None, |p| p.sample.load1_milli.into()),
        series("memory", points, Unit::Bytes, memory, |p| p.sample.memory_used_bytes as f64),
        series("disk", points, Unit::Bytes, disk, |p| p.sample.disk_used_bytes as f64),
        series("received", points, Unit::BytesPerSecond, None, |p| {
            p.sample.net_rx_bytes_per_s as f64
        }),
        series("sent", points, Unit::BytesPerSecond, None, |p| p.sample.net_tx_bytes_per_s as f64),
    ]
}

fn vm_series(points: &[VmPoint]) -> Vec<Series> {
    let rate = Unit::BytesPerSecond;
    vec![
        series("cpus busy", points, Unit::Milli, None, |p| p.cpu_milli.into()),
        series("memory", points, Unit::Bytes, None, |p| p.memory_bytes as f64),
        series("disk read", points, rate, None, |p| p.disk_read_bytes_per_s as f64),
        series("disk written", points, rate, None, |p| p.disk_write_bytes_per_s as f64),
        series("received", points, rate, None, |p| p.net_rx_bytes_per_s as f64),
        series("sent", points, rate, None, |p| p.net_tx_bytes_per_s as f64),
    ]
}

/// When the samples are from, and a row for each quantity.
fn report<P>(
    invocation: &Invocation,
    name: &str,
    mut ats: impl DoubleEndedIterator<Item = UtcTime>,
    points: &[P],
    all: impl Fn(&[P]) -> Vec<Series>,
) -> Result<String, Failure> {
    let newest = ats.next_back();
    let oldest = ats.next().or(newest);
    let (Some(newest), Some(oldest)) = (newest, oldest) else {
        return Err(Failure::new(format!("no member has samples of {name}"))
            .hint("they come with the first interval after the agent connects"));
    };
    let mut table = Table::new(&["", ">NOW", ">LEAST", ">MOST", "OVER TIME"]);
    for Series { name, values, unit, top } in all(points) {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let now = values.last().copied().unwrap_or_default();
        table.row(vec![
            Cell::dim(name),
            Cell::new(unit.text(now)),
            Cell::new(unit.text(least)),
            Cell::new(unit.text(most)),
            Cell::new(sparkline(&values, SPARKLINE_WIDTH, top)),
        ]);
    }
    let span = age::span(newest.0 - oldest.0);
    let ago = age::since(newest, invocation.now);
    let count = points.len();
    let table = invocation.output.table_or(&table, "no samples");
    Ok(format!("{name}: {count} samples over {span}, the newest {ago} ago\n\n{table}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fixture::invocation;
    use novacron_protocol::Timestamp;
    use novacron_protocol::wire::telemetry::HostSample;

    #[test]
    fn a_report_has_the_newest_value_the_range_and_the_shape() {
        let now = invocation().now;
        let point = |at: u64| HostPoint {
            at: UtcTime(Timestamp(now.0 - 10_000 * (60 - at))),
            sample: HostSample {
                cpu_busy_permille: u16::try_from(at * 10).unwrap(),
                load1_milli: 1500,
                memory_used_bytes: 3 << 30,
                memory_total_bytes: 16 << 30,
                disk_used_bytes: at << 30,
                disk_total_bytes: 100 << 30,
                net_rx_bytes_per_s: at % 2 * 1000,
                net_tx_bytes_per_s: 0,
            },
        };
        let points: Vec<HostPoint> = (0..60).map(point).collect();
        let ats = points.iter().map(|point| point.at);
        let text = report(&invocation(), "h1", ats, &points, host_series).unwrap();
        insta::assert_snapshot!(text, @r"
        h1: 60 samples over 9m, the newest 10s ago

                       NOW  LEAST      MOST  OVER TIME
        cpu         59.0 %  0.0 %    59.0 %  ▁▁▁▁▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▅▅▅▅▅
        load          1.50   1.50      1.50  ██████████████████████████████
        memory       3 GiB  3 GiB     3 GiB  ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂
        disk        59 GiB    0 B    59 GiB  ▁▁▁▁▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▅▅▅▅▅
        received  1000 B/s  0 B/s  1000 B/s  ██████████████████████████████
        sent         0 B/s  0 B/s     0 B/s  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
        ");
    }

    #[test]
    fn without_samples_it_says_so() {
        let failure =
            report(&invocation(), "h1", [].into_iter(), &[], vm_series).unwrap_err().to_string();
        assert_eq!(failure, "no member has samples of h1");
    }
}
