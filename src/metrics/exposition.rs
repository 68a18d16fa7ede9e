//! The text format of Prometheus: families of samples, each with its kind and what it means.

use std::fmt::{Display, Write};

/// A page that is being written.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
}

/// What a family's samples are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// A count that only grows while the process lives.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts by class, with the sum.
    Histogram,
}

impl Exposition {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, of: Of, meaning: &str) -> &mut Self {
        let kind = match of {
            Of::Counter => "counter",
            Of::Gauge => "gauge",
            Of::Histogram => "histogram",
        };
        self.family = name;
        self.put(format_args!("# HELP {name} {meaning}\n# TYPE {name} {kind}\n"));
        self
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// The samples of a histogram: how many fell into each class, the last of which is open; the upper bounds of the
    /// others, in seconds; and the sum.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: impl Iterator<Item = f64>,
        counts: &[u64],
        sum_seconds: f64,
    ) -> &mut Self {
        let mut below = 0;
        let bounds = bounds.map(|bound| bound.to_string()).chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(counts) {
            below += count;
            self.line("_bucket", labels, Some(&bound), below);
        }
        self.line("_sum", labels, None, sum_seconds);
        self.line("_count", labels, None, below);
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        let family = self.family;
        self.put(format_args!("{family}{suffix}"));
        let mut joint = '{';
        for (name, text) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.put(format_args!("{joint}{name}=\"{}\"", escaped(text)));
            joint = ',';
        }
        let close = if joint == ',' { "}" } else { "" };
        self.put(format_args!("{close} {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes whatever is written.
        let _ = self.text.write_fmt(text);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A label's text, with what would end it written otherwise.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_with_its_kind_and_its_labels_escaped() {
        let mut page = Exposition::default();
        page.family("a_total", Of::Counter, "What a is.").sample(&[("of", "x\"y\\z\n")], 3).sample(&[], 4);
        assert_eq!(
            page.finish(),
            "# HELP a_total What a is.\n# TYPE a_total counter\na_total{of=\"x\\\"y\\\\z\\n\"} 3\na_total 4\n"
        );
    }

    #[test]
    fn the_classes_of_a_histogram_add_up_to_its_count() {
        let mut page = Exposition::default();
        page.family("t_seconds", Of::Histogram, "Times.").histogram(
            &[("of", "a")],
            [0.005, 1.0].into_iter(),
            &[2, 3, 1],
            4.5,
        );
        let lines: Vec<String> = page.finish().lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "t_seconds_bucket{of=\"a\",le=\"0.005\"} 2",
                "t_seconds_bucket{of=\"a\",le=\"1\"} 5",
                "t_seconds_bucket{of=\"a\",le=\"+Inf\"} 6",
                "t_seconds_sum{of=\"a\"} 4.5",
                "t_seconds_count{of=\"a\"} 6",
            ]
        );
    }
}
