//! The chart of the README, drawn from the figures: four panels, a bar for each contender.

use std::fmt::Write as _;

use crate::{
    figures::{BASELINE, Figures, KUBEADM_AND_KUBELET, NODESTRAP, SHELL, precise},
    measure::Taken,
};

/// Places of the contenders that are drawn, and how they are called there.
const BARS: [(usize, &str); 4] = [
    (NODESTRAP, "nodestrap"),
    (KUBEADM_AND_KUBELET, "kubeadm + kubelet"),
    (SHELL, "curl, jq, kubectl …"),
    (BASELINE, "baseline client"),
];

// Pixels.
const WIDTH: f64 = 800.0;
const PANEL_HEIGHT: f64 = 146.0;
const HEADER: f64 = 34.0;
const LABELS: f64 = 132.0;
const BAR: f64 = 16.0;
const STEP: f64 = 26.0;
/// Right of the longest bar, for its value.
const VALUES: f64 = 92.0;

/// What one panel shows of the contender at a place.
type Value<'a> = &'a dyn Fn(usize) -> f64;

/// Readable on light and on dark setup: the text takes the viewer's scheme, the setup is whatever is behind.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-weight:600}.v{font-variant-numeric:\
    tabular-nums}.o{fill:#0969da}.n{fill:#8c959f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.o{fill:#58a6ff}\
    .n{fill:#6e7681}}";

pub fn draw(figures: &Figures) -> String {
    let median = |figure: fn(&Taken) -> f64| move |place: usize| figures.contenders[place].median(figure);
    let wall = median(|taken| taken.wall_ms);
    let cpu = median(|taken| taken.cpu_ms);
    let peak = median(|taken| taken.peak_mib);
    let size = |place: usize| precise(figures.contenders[place].bytes) / 1e6;
    let panels: [(&str, Value<'_>); 4] = [
        ("time, ms", &wall),
        ("processor time, ms", &cpu),
        ("peak memory, MiB", &peak),
        ("executables, MB", &size),
    ];
    let height = HEADER + 2.0 * PANEL_HEIGHT;
    let rounds = figures.contenders[NODESTRAP].taken.len();
    let title = format!(
        "One join, Kubernetes {}, all on one machine, cached: medians of {rounds} rounds, less is better",
        figures.kubernetes
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>{STYLE}</style>\n<text class=\"t\" x=\"0\" y=\"16\">{title}</text>\n"
    );
    for (index, (name, value)) in panels.into_iter().enumerate() {
        let left = if index % 2 == 0 { 0.0 } else { WIDTH / 2.0 };
        let top = HEADER + if index < 2 { 0.0 } else { PANEL_HEIGHT };
        panel(&mut svg, left, top, name, value);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, left: f64, top: f64, name: &str, value: Value<'_>) {
    let most = BARS.iter().map(|(place, _)| value(*place)).fold(0.0, f64::max);
    let scale = (WIDTH / 2.0 - LABELS - VALUES) / most;
    let _ = writeln!(svg, "<text class=\"t\" x=\"{left}\" y=\"{}\">{name}</text>", top + 14.0);
    for (row, (place, label)) in (0_u32..).zip(BARS) {
        let (value, y) = (value(place), top + 24.0 + f64::from(row) * STEP);
        let (bar, base) = (left + LABELS, y + 12.5);
        let class = if place == NODESTRAP { "o" } else { "n" };
        let width = (value * scale).max(2.0);
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"{base}\">{label}</text>");
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{bar}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
        );
        let _ = writeln!(
            svg,
            "<text class=\"v\" x=\"{:.1}\" y=\"{base}\">{}</text>",
            bar + width + 6.0,
            shown(value)
        );
    }
}

/// Three digits that mean something.
fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
