//! Pictures as SVG: lines over an axis here, bars beside it.

mod bars;

use std::fmt::Write as _;

pub(crate) use self::bars::Bars;

/// One line of a picture.
pub(crate) struct Series {
    pub(crate) name: String,
    /// Place on the horizontal axis (more than 0), and value.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A picture.
pub(crate) struct Picture {
    pub(crate) title: String,
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    pub(crate) series: Vec<Series>,
    /// Places that get a label on the horizontal axis.
    pub(crate) ticks: Vec<(f64, String)>,
    /// Whether the horizontal axis is logarithmic.
    pub(crate) logarithmic: bool,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 590.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 365.0;
/// Told apart by those who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

impl Picture {
    /// The picture as SVG.
    pub(crate) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{0}</text>\n",
            escaped(&self.title)
        );
        let points = || self.series.iter().flat_map(|series| &series.points);
        let step = step(points().map(|point| point.1).fold(0.0, f64::max));
        let top = step * (points().map(|point| point.1).fold(0.0, f64::max) / step).ceil().max(1.0);
        let place = |value: f64| if self.logarithmic { value.max(1e-9).log2() } else { value };
        let places =
            || self.ticks.iter().map(|tick| place(tick.0)).chain(points().map(|point| place(point.0)));
        let (first, last) = (places().fold(f64::MAX, f64::min), places().fold(f64::MIN, f64::max));
        let x = |value: f64| LEFT + (RIGHT - LEFT) * (place(value) - first) / (last - first).max(1e-9);
        let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / top;
        let mut value = 0.0;
        while value <= top * 1.001 {
            let at = y(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
                LEFT - 8.0,
                at + 4.0
            );
            value += step;
        }
        for (tick, label) in &self.ticks {
            let _ = writeln!(
                svg,
                "<line x1=\"{0:.1}\" y1=\"{BOTTOM}\" x2=\"{0:.1}\" y2=\"{1:.1}\" stroke=\"#888888\"/><text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
                x(*tick),
                BOTTOM + 5.0,
                BOTTOM + 20.0,
                escaped(label)
            );
        }
        let (middle, height) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
        let _ = writeln!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n<text x=\"18\" y=\"{height:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {height:.1})\">{}</text>",
            HEIGHT - 12.0,
            escaped(self.across),
            escaped(self.up),
        );
        self.lines(&mut svg, x, y);
        svg += "</svg>\n";
        svg
    }

    fn lines(&self, svg: &mut String, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
        // Names stand at the ends of their lines, pushed apart where these are close.
        let end = |series: &Series| series.points.last().map_or(BOTTOM, |&(_, value)| y(value));
        let mut names: Vec<(f64, usize)> =
            self.series.iter().enumerate().map(|(at, series)| (end(series), at)).collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut lowest = BOTTOM + 4.0;
        for (at, index) in names {
            let series = &self.series[index];
            let colour = COLOURS[index % COLOURS.len()];
            let points: Vec<String> =
                series.points.iter().map(|&(across, up)| format!("{:.1},{:.1}", x(across), y(up))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                points.join(" ")
            );
            for &(across, up) in &series.points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: {up:.1}</title></circle>",
                    x(across),
                    y(up),
                    escaped(&series.name)
                );
            }
            let label = (at + 4.0).min(lowest);
            lowest = label - 16.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{label:.1}\" fill=\"{colour}\">{}</text>",
                RIGHT + 10.0,
                escaped(&series.name)
            );
        }
    }
}

/// A round step that divides a range up to `top` into four to ten parts.
fn step(top: f64) -> f64 {
    if top < 1.0 {
        return 1.0;
    }
    let mut step = 10f64.powf((top / 10.0).log10().floor());
    for factor in [1.0, 2.0, 2.5, 2.0].into_iter().cycle() {
        if top / step <= 8.0 {
            break;
        }
        step *= factor;
    }
    step
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(series: Vec<Series>) -> Picture {
        let ticks = vec![(1.0, "1".into()), (1024.0, "1,024".into())];
        Picture { title: "a < b".into(), across: "sessions", up: "ns", series, ticks, logarithmic: true }
    }

    #[test]
    fn lines_lie_between_the_axes_and_names_do_not_cover_each_other() {
        let line =
            |name: &str, top: f64| Series { name: name.into(), points: vec![(1.0, 10.0), (1024.0, top)] };
        let svg = picture(vec![line("one", 400.0), line("two", 401.0)]).svg();
        let heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains(">one<") || line.contains(">two<"))
            .filter_map(|line| line.split("y=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert!((heights[0] - heights[1]).abs() >= 16.0, "{heights:?}");
        assert!(svg.contains(">sessions</text>") && svg.contains("(-90 18 207.5)\">ns</text>"), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn an_empty_picture_and_a_single_point_are_drawn() {
        let none = picture(Vec::new()).svg();
        let one = picture(vec![Series { name: "x".into(), points: vec![(1.0, 0.0)] }]).svg();
        assert!(!none.contains("NaN") && !one.contains("NaN"));
    }

    #[test]
    fn steps_are_round() {
        for (top, wanted) in [(7.0, 1.0), (80.0, 10.0), (230.0, 50.0), (2075.0, 500.0), (0.0, 1.0)] {
            assert!((step(top) / wanted - 1.0).abs() < 1e-9, "{top}: {}", step(top));
        }
    }
}
