//! The figure: a stretch of each trace with what was foreseen, and everybody's errors.

use std::fmt::Write as _;

use novacron_transport_core::pba::Prediction;

use super::score::predictions;
use super::trace::Trace;

/// Gathers what is drawn.
#[derive(Debug, Default)]
pub(super) struct Plot {
    stretches: Vec<Stretch>,
    errors: Vec<Errors>,
}

/// Rates, and what was said [`AHEAD`] seconds before each.
#[derive(Debug)]
struct Stretch {
    name: String,
    points: Vec<(f64, Prediction)>,
}

/// Median errors in one case, ours first.
#[derive(Debug)]
struct Errors {
    case: String,
    systems: Vec<(String, f64)>,
}

const AHEAD: usize = 5;
/// The second at which a stretch begins: the predictor has learned by then.
const FROM: usize = 120;
const SECONDS: usize = 240;
/// Most traces with a stretch of their own.
const STRETCHES_MAX: usize = 3;

const WIDTH: f64 = 820.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const STRETCH_HEIGHT: f64 = 180.0;
const BAR_HEIGHT: f64 = 12.0;
const COLORS: [(&str, &str); 5] = [
    ("novacron", "#d62728"),
    ("last", "#9ecae1"),
    ("ewma", "#3182bd"),
    ("harmonic", "#a1d99b"),
    ("holt-winters", "#756bb1"),
];

impl Plot {
    pub(super) fn add_error(&mut self, trace: &Trace, ahead: usize, system: &str, error: f64) {
        let case = format!("{}, {ahead} s", trace.name);
        if self.errors.last().is_none_or(|errors| errors.case != case) {
            self.errors.push(Errors { case, systems: Vec::new() });
        }
        if let Some(errors) = self.errors.last_mut() {
            errors.systems.push((system.to_owned(), error));
        }
    }

    /// A stretch of the first run that is long enough.
    pub(super) fn add_stretch(&mut self, trace: &Trace) {
        let long = |run: &&Vec<f64>| run.len() >= FROM + SECONDS;
        let Some(run) = trace.reported().iter().find(long) else { return };
        if self.stretches.len() == STRETCHES_MAX {
            return;
        }
        let said = predictions(run, AHEAD);
        let points = (FROM..FROM + SECONDS).map(|at| (run[at], said[at - AHEAD])).collect();
        self.stretches.push(Stretch { name: trace.name.clone(), points });
    }

    pub(super) fn draw(&self) -> String {
        let bars: usize = self.errors.iter().map(|errors| errors.systems.len() + 1).sum();
        let top_of_bars = 30.0 + (STRETCH_HEIGHT + 40.0) * self.stretches.len() as f64;
        let height = top_of_bars + 50.0 + BAR_HEIGHT * bars as f64;
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0} {height:.0}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>"#
        );
        for (index, stretch) in self.stretches.iter().enumerate() {
            stretch.draw(&mut svg, 30.0 + (STRETCH_HEIGHT + 40.0) * index as f64);
        }
        self.draw_bars(&mut svg, top_of_bars);
        svg.push_str("</svg>\n");
        svg
    }

    /// Errors as parts of the last sample's, so that fast and slow links fit one axis.
    fn draw_bars(&self, svg: &mut String, top: f64) {
        let title = "Median absolute error on even runs, in percent of the last sample's";
        text(svg, (LEFT, top), "start", title);
        let mut y = top + 12.0;
        for errors in &self.errors {
            let last = errors.systems.iter().find(|(system, _)| system == "last");
            let unit = last.map_or(1.0, |(_, error)| error.max(1e-9));
            for (system, error) in &errors.systems {
                let percent = error / unit * 100.0;
                let length = (percent / 140.0).min(1.0) * (WIDTH - LEFT - RIGHT - 320.0);
                let _ = writeln!(
                    svg,
                    r#"<rect x="{:.1}" y="{y:.1}" width="{length:.1}" height="{:.1}" fill="{}"/>"#,
                    LEFT + 190.0,
                    BAR_HEIGHT - 1.0,
                    color(system)
                );
                let label = format!("{} {system}", errors.case);
                text(svg, (LEFT + 184.0, y + 9.0), "end", &label);
                let value = format!("{error:.3} Mbit/s, {percent:.1} %");
                text(svg, (LEFT + 196.0 + length, y + 9.0), "start", &value);
                y += BAR_HEIGHT;
            }
            y += BAR_HEIGHT;
        }
    }
}

impl Stretch {
    fn draw(&self, svg: &mut String, top: f64) {
        let most = self.points.iter().map(|(rate, _)| *rate).fold(1.0, f64::max) * 1.2;
        let x = |at: usize| LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / SECONDS as f64;
        let y = |mbps: f64| top + 10.0 + STRETCH_HEIGHT * (1.0 - (mbps / most).clamp(0.0, 1.0));
        let mbps = |rate: novacron_protocol::Bitrate| rate.0 as f64 / 1e6;
        let title = format!(
            "{}: measured (black), foreseen {AHEAD} s before (red) with its 80 % band, Mbit/s",
            self.name
        );
        text(svg, (LEFT, top), "start", &title);
        for part in 0..=4 {
            let value = most * f64::from(part) / 4.0;
            let line = y(value);
            let _ = writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{line:.1}" x2="{:.1}" y2="{line:.1}" stroke="#ddd"/>"##,
                WIDTH - RIGHT
            );
            text(svg, (LEFT - 6.0, line + 4.0), "end", &format!("{value:.0}"));
        }
        for second in (0..=SECONDS).step_by(60) {
            let at = (x(second), top + STRETCH_HEIGHT + 24.0);
            text(svg, at, "middle", &format!("{} s", FROM + second));
        }
        let line = |value: &dyn Fn(&(f64, Prediction)) -> f64| -> Vec<String> {
            let points = self.points.iter().enumerate();
            points.map(|(at, point)| format!("{:.1},{:.1}", x(at), y(value(point)))).collect()
        };
        let mut band = line(&|(_, said)| mbps(said.high));
        band.extend(line(&|(_, said)| mbps(said.low)).into_iter().rev());
        let _ = writeln!(svg, r##"<polygon points="{}" fill="#fdd0c8"/>"##, band.join(" "));
        for (value, stroke) in [
            (line(&|(rate, _)| *rate), "#222"),
            (line(&|(_, said)| mbps(said.bandwidth)), "#d62728"),
        ] {
            let points = value.join(" ");
            let _ = writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{stroke}"/>"#);
        }
    }
}

fn color(system: &str) -> &'static str {
    COLORS.iter().find(|(name, _)| *name == system).map_or("#636363", |(_, color)| color)
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_shows_each_stretch_and_each_error_and_is_closed() {
        let trace = Trace::parse("a<b", include_str!("../../traces/made-up.csv")).unwrap();
        let mut plot = Plot::default();
        plot.add_stretch(&trace);
        plot.add_error(&trace, 1, "novacron", 2.0);
        plot.add_error(&trace, 1, "last", 4.0);
        let svg = plot.draw();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(svg.contains("a&lt;b, 1 s novacron") && svg.contains("2.000 Mbit/s, 50.0 %"));
    }
}
