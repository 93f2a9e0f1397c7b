//! Pictures of bars: one group of bars a target, one bar a case.

use std::fmt::Write as _;

use super::{COLOURS, escaped, step};

/// A picture of bars that lie.
pub(crate) struct Bars {
    pub(crate) title: String,
    /// What the bars' length is.
    pub(crate) across: &'static str,
    /// What the bars of a group are, in their order.
    pub(crate) cases: Vec<String>,
    /// Name and bars of each group; a case without a figure has no bar.
    pub(crate) groups: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 64.0;
/// Height of a bar.
const BAR: f64 = 16.0;
/// Room between groups.
const GAP: f64 = 12.0;

impl Bars {
    /// The picture as SVG.
    pub(crate) fn svg(&self) -> String {
        let group = BAR * self.cases.len().max(1) as f64 + GAP;
        let bottom = TOP + group * self.groups.len() as f64;
        let height = bottom + 48.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"20\" y=\"26\" font-size=\"16\">{0}</text>\n",
            escaped(&self.title)
        );
        let most = self.groups.iter().flat_map(|(_, bars)| bars).flatten().fold(0.0, |a: f64, &b| a.max(b));
        let step = step(most);
        let end = step * (most / step).ceil().max(1.0);
        let x = |value: f64| LEFT + (RIGHT - LEFT) * value / end;
        let mut value = 0.0;
        while value <= end * 1.001 {
            let _ = writeln!(
                svg,
                "<line x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/><text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\">{value:.0}</text>",
                x(value),
                bottom + 18.0
            );
            value += step;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (LEFT + RIGHT) / 2.0,
            bottom + 38.0,
            escaped(self.across)
        );
        self.legend(&mut svg);
        for (at, (name, bars)) in self.groups.iter().enumerate() {
            let top = TOP + group * at as f64 + GAP / 2.0;
            let middle = top + (group - GAP) / 2.0 + 4.5;
            let name = escaped(name);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 8.0
            );
            for (case, bar) in bars.iter().enumerate() {
                let y = top + BAR * case as f64;
                let colour = COLOURS[case % COLOURS.len()];
                let (length, label) =
                    bar.map_or((0.0, "no figure".to_owned()), |it| (x(it) - LEFT, format!("{it:.0}")));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\">{label}</text>",
                    BAR - 2.0,
                    LEFT + length + 5.0,
                    y + BAR - 4.5
                );
            }
        }
        svg += "</svg>\n";
        svg
    }

    /// What the colours stand for, where there are several.
    fn legend(&self, svg: &mut String) {
        if self.cases.len() < 2 {
            return;
        }
        let mut x = LEFT;
        for (case, name) in self.cases.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"40\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{:.1}\" y=\"51\">{}</text>",
                COLOURS[case % COLOURS.len()],
                x + 17.0,
                escaped(name)
            );
            x += 17.0 + 8.0 * name.chars().count() as f64 + 16.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_value_and_one_without_says_so() {
        let groups = vec![
            ("a & b".to_owned(), vec![Some(100.0), None]),
            ("c".to_owned(), vec![Some(50.0), Some(0.0)]),
        ];
        let cases = vec!["one".into(), "two".into()];
        let svg = Bars { title: "t".into(), across: "ns", cases, groups }.svg();
        let widths: Vec<f64> = svg
            .lines()
            .filter(|line| line.starts_with("<rect x=\"150\""))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths, [540.0, 0.0, 270.0, 0.0]);
        assert!(svg.contains("a &amp; b") && svg.contains("no figure") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_picture_without_bars_is_drawn() {
        let svg = Bars { title: String::new(), across: "", cases: Vec::new(), groups: Vec::new() }.svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
