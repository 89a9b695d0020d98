//! Plots as SVG, drawn by hand: bars in groups, and distributions over a logarithmic axis.

use std::fmt::Write as _;

/// Bars side by side, one for each system.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) label: String,
    pub(super) bars: Vec<(String, f64)>,
}

/// Points of a distribution: a value, and the percent of samples that do not exceed it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of groups of bars from 0 to `max`, with the unit of the values at its axis.
pub(super) fn bars(title: &str, unit: &str, max: f64, groups: &[Group]) -> String {
    let names = names(groups.iter().flat_map(|group| group.bars.iter().map(|(name, _)| name)));
    let group_width = (names.len() as f64 * BAR + GAP).max(70.0);
    let width = LEFT + group_width * groups.len() as f64 + RIGHT;
    let mut svg = begin(title, width);
    for step in 0..=4 {
        let value = max * f64::from(step) / 4.0;
        let y = BOTTOM - (BOTTOM - TOP) * f64::from(step) / 4.0;
        grid(&mut svg, (LEFT, y), (width - RIGHT, y));
        text(&mut svg, (LEFT - 6.0, y + 4.0), "end", &format!("{value:.0} {unit}"));
    }
    for (at, group) in groups.iter().enumerate() {
        let left = LEFT + group_width * at as f64 + GAP / 2.0;
        for (name, value) in &group.bars {
            let slot = names.iter().position(|known| known == name).unwrap_or_default();
            let height = (BOTTOM - TOP) * (value / max).clamp(0.0, 1.0);
            let (x, y) = (left + BAR * slot as f64, BOTTOM - height);
            let color = color(name);
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}" fill="{color}"><title>{}: {value:.1} {unit}</title></rect>"#,
                BAR - 1.0,
                escaped(name)
            );
        }
        let middle = left + (group_width - GAP) / 2.0;
        for (line, part) in group.label.split('\n').enumerate() {
            text(&mut svg, (middle, BOTTOM + 16.0 + 14.0 * line as f64), "middle", part);
        }
    }
    legend(&mut svg, &names);
    svg.push_str("</svg>\n");
    svg
}

/// Distributions over milliseconds, from left to right and from nobody to everybody.
pub(super) fn distribution(title: &str, curves: &[Curve]) -> String {
    let values = || curves.iter().flat_map(|curve| curve.points.iter().map(|(value, _)| *value));
    let low = values().fold(f64::INFINITY, f64::min).max(0.01).log10().floor();
    let high = values().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let width = 720.0;
    let x =
        |value: f64| LEFT + (width - LEFT - RIGHT) * (value.max(1e-3).log10() - low) / (high - low);
    let y = |percent: f64| BOTTOM - (BOTTOM - TOP) * percent / 100.0;
    let mut svg = begin(title, width);
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        grid(&mut svg, (LEFT, y(percent)), (width - RIGHT, y(percent)));
        text(&mut svg, (LEFT - 6.0, y(percent) + 4.0), "end", &format!("{percent:.0} %"));
    }
    let mut power = low;
    while power <= high {
        let value = 10_f64.powf(power);
        grid(&mut svg, (x(value), TOP), (x(value), BOTTOM));
        text(&mut svg, (x(value), BOTTOM + 16.0), "middle", &format!("{value} ms"));
        power += 1.0;
    }
    for curve in curves {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(value, percent)| format!("{:.1},{:.1}", x(*value), y(*percent)))
            .collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>"#,
            points.join(" "),
            color(&curve.label)
        );
    }
    legend(&mut svg, &names(curves.iter().map(|curve| &curve.label)));
    svg.push_str("</svg>\n");
    svg
}

/// Each once, in the order in which they come.
fn names<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn begin(title: &str, width: f64) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {HEIGHT:.0}" font-family="sans-serif" font-size="11">"#
    );
    let _ = writeln!(svg, r#"<rect width="100%" height="100%" fill="white"/>"#);
    let _ = writeln!(
        svg,
        r#"<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{}</text>"#,
        escaped(title)
    );
    svg
}

fn grid(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        r##"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="#ddd"/>"##,
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
        at.0,
        at.1,
        escaped(text)
    );
}

fn legend(svg: &mut String, names: &[String]) {
    let mut x = LEFT;
    for name in names {
        let color = color(name);
        let _ = writeln!(svg, r#"<rect x="{x:.1}" y="32" width="10" height="10" fill="{color}"/>"#);
        text(svg, (x + 14.0, 41.0), "start", name);
        x += 24.0 + 6.2 * name.len() as f64;
    }
}

/// Ours stands out; a family of systems shares a hue.
fn color(name: &str) -> &'static str {
    match name {
        "novacron" => "#d62728",
        "tcp-cubic" => "#9ecae1",
        "tcp-bbr" => "#3182bd",
        "grpc-cubic" => "#c7e9c0",
        "grpc-bbr" => "#31a354",
        "quinn-cubic" => "#fdd0a2",
        "quinn-bbr" => "#e6850d",
        "s2n-cubic" => "#dadaeb",
        "s2n-bbr" => "#756bb1",
        _ => "#636363",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const HEIGHT: f64 = 340.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 290.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const BAR: f64 = 9.0;
const GAP: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_value() {
        let bars_of = |value| vec![("novacron".to_owned(), value)];
        let groups = [Group { label: "1 %".into(), bars: bars_of(50.0) }];
        let svg = bars("goodput <b>", "%", 100.0, &groups);
        assert!(svg.contains(r##"height="115.0" fill="#d62728""##), "{svg}");
        assert!(svg.contains("goodput &lt;b&gt;"), "{svg}");
    }

    #[test]
    fn a_distribution_has_an_axis_of_powers_of_ten() {
        let curve = Curve { label: "quinn-bbr".into(), points: vec![(2.0, 5.0), (200.0, 100.0)] };
        let svg = distribution("one-way", &[curve]);
        for label in ["1 ms", "10 ms", "100 ms", "1000 ms"] {
            assert!(svg.contains(&format!(">{label}<")), "{label} in {svg}");
        }
    }
}
