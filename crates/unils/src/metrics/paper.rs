//! The paper's numbers, to read ours beside: arXiv 2512.09327v2 (CVPR 2026), test split of Seamless Interaction.
//!
//! They hold for the paper's data, face model and weights; numbers on other data do not compare. All are lower is
//! better.
//!
//! ```
//! use unils::metrics::paper;
//! let full = paper::row(paper::Table::Main, "UniLS").unwrap();
//! assert_eq!(full.value("L-FDD"), Some(17.12));
//! ```

use serde::Serialize;

/// The scores of the paper's tables, in their order.
pub const METRICS: [&str; 10] =
    ["S-LVE", "S-MHD", "S-FDD", "S-PDD", "S-JDD", "L-FDD", "L-PDD", "L-JDD", "F-FID", "P-FID"];

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Comparison with other methods.
    Main,
    /// Ablation of the recipe.
    Ablation,
}

/// A row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// The method's name.
    pub method: &'static str,
    /// Its scores in the order of [`METRICS`].
    pub values: [Option<f64>; 10],
}

impl Row {
    /// The score of that name.
    pub fn value(&self, metric: &str) -> Option<f64> {
        METRICS.iter().position(|name| *name == metric).and_then(|index| self.values[index])
    }
}

impl Table {
    /// The table's rows, in the paper's order.
    pub fn rows(self) -> &'static [Row] {
        match self {
            Self::Main => &MAIN,
            Self::Ablation => &ABLATION,
        }
    }
}

/// The row of a method; case does not matter.
pub fn row(table: Table, method: &str) -> Option<&'static Row> {
    table.rows().iter().find(|row| row.method.eq_ignore_ascii_case(method))
}

const fn speaking_only(method: &'static str, v: [f64; 5]) -> Row {
    let [a, b, c, d, e] = v;
    let values = [Some(a), Some(b), Some(c), Some(d), Some(e), None, None, None, None, None];
    Row { method, values }
}

const fn all(method: &'static str, v: [f64; 10]) -> Row {
    let mut values = [None; 10];
    let mut index = 0;
    while index < 10 {
        values[index] = Some(v[index]);
        index += 1;
    }
    Row { method, values }
}

static MAIN: [Row; 5] = [
    speaking_only("DiffPoseTalk (speak only)", [9.48, 2.96, 32.66, 7.89, 1.40]),
    speaking_only("ARTalk (speak only)", [7.46, 2.12, 31.64, 7.66, 1.19]),
    all("ARTalk + second audio input", [6.79, 2.02, 27.41, 8.55, 0.81, 30.62, 9.52, 1.53, 10.779, 0.072]),
    all(
        "DualTalk (needs partner motion)",
        [6.35, 1.95, 37.46, 9.70, 1.02, 43.58, 10.71, 2.02, 13.143, 0.079],
    ),
    all("UniLS", [5.83, 1.89, 18.41, 4.67, 0.71, 17.12, 4.75, 0.98, 4.304, 0.038]),
];

static ABLATION: [Row; 5] = [
    all("one cross-attention, mixed audio", [11.48, 3.00, 31.35, 5.83, 0.92, 27.46, 7.01, 1.61, 5.97, 0.059]),
    all("without audio-free stage", [6.32, 2.02, 25.10, 5.76, 0.89, 25.64, 6.66, 1.42, 5.97, 0.055]),
    all("without multi-scenario data", [6.26, 1.99, 18.77, 4.81, 0.76, 17.81, 4.85, 1.04, 4.62, 0.040]),
    all("full", [5.83, 1.89, 18.41, 4.67, 0.71, 17.12, 4.75, 0.98, 4.30, 0.038]),
    Row {
        method: "audio-free stage alone",
        values: [
            None,
            None,
            Some(23.97),
            Some(5.61),
            Some(1.34),
            Some(21.83),
            Some(5.17),
            Some(1.59),
            Some(6.45),
            Some(0.053),
        ],
    },
];
