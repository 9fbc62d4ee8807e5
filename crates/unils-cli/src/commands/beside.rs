//! What an evaluation is set beside: the paper's numbers, or those of another evaluation.

use serde::Serialize;
use unils::metrics::against::Against;
use unils::metrics::paper;
use unils::metrics::report::Report;
use unils::motion::Space;
use unils::{Error, Result};
use unils_train::evaluate::Protocol;

use crate::args;

/// What `--against` names, read before the work begins.
#[derive(Debug)]
pub(super) enum Reference {
    Paper(&'static paper::Row),
    Report(Report),
}

/// The scores beside it.
#[derive(Debug)]
pub(super) enum Beside {
    Paper(PaperColumn),
    Report(Against),
}

/// The paper's numbers beside ours.
#[derive(Debug, Serialize)]
pub(super) struct PaperColumn {
    #[serde(skip)]
    row: &'static paper::Row,
    method: &'static str,
    scores: Vec<PaperScore>,
    /// Why they do not compare, if so.
    caveats: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PaperScore {
    metric: &'static str,
    ours: Option<f64>,
    paper: f64,
    difference: Option<f64>,
}

impl Reference {
    /// Reads it.
    pub(super) fn open(against: &args::Against) -> Result<Self> {
        match against {
            args::Against::Paper => paper::row(paper::Table::Main, "UniLS")
                .map(Self::Paper)
                .ok_or_else(|| Error::argument("--against", "the paper's table has no row of UniLS")),
            args::Against::Report(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
                Report::from_json(&text, &path.display().to_string()).map(Self::Report)
            }
        }
    }

    /// Sets it beside our scores.
    pub(super) fn beside(
        &self,
        report: &Report,
        space: Space,
        has_flame: bool,
        protocol: &Protocol,
    ) -> Result<Beside> {
        match self {
            Self::Paper(row) => {
                let score = |metric: &&'static str| {
                    let (paper, ours) = (row.value(metric)?, report.mean(metric));
                    Some(PaperScore { metric, ours, paper, difference: ours.map(|ours| ours - paper) })
                };
                Ok(Beside::Paper(PaperColumn {
                    row,
                    method: row.method,
                    scores: paper::METRICS.iter().filter_map(score).collect(),
                    caveats: paper_caveats(space, has_flame, protocol),
                }))
            }
            Self::Report(other) => report.against(other, &protocol.bootstrap).map(Beside::Report),
        }
    }
}

impl Beside {
    /// The heading of its table.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Paper(_) => "Against the paper".to_owned(),
            Self::Report(against) => format!("Against {}", against.system),
        }
    }

    /// Both as a Markdown table.
    pub(super) fn table(&self, report: &Report) -> String {
        match self {
            Self::Paper(column) => report.against_paper(column.row),
            Self::Report(against) => against.to_markdown(&report.system),
        }
    }

    /// Why the numbers do not compare, if so.
    pub(super) fn caveats(&self) -> &[String] {
        match self {
            Self::Paper(column) => &column.caveats,
            Self::Report(against) => &against.caveats,
        }
    }

    /// The paper's numbers, if it is those.
    pub(super) fn paper(&self) -> Option<&PaperColumn> {
        match self {
            Self::Paper(column) => Some(column),
            Self::Report(_) => None,
        }
    }

    /// The other evaluation's, if it is those.
    pub(super) fn report(&self) -> Option<&Against> {
        match self {
            Self::Paper(_) => None,
            Self::Report(against) => Some(against),
        }
    }
}

/// Why our numbers and the paper's do not compare.
fn paper_caveats(space: Space, has_flame: bool, protocol: &Protocol) -> Vec<String> {
    let mut caveats = Vec::new();
    if space != Space::Flame108 {
        caveats.push(format!("the paper's motion is of FLAME, this is {space}"));
    } else if !has_flame {
        caveats.push("without FLAME there are no scores on vertices".to_owned());
    }
    caveats.push(
        "the paper's recordings are the test split of Seamless Interaction as its authors tracked it"
            .to_owned(),
    );
    caveats.push(
        "the paper does not say how its Fréchet distances are summed up; ours are the means of the recordings' own"
            .to_owned(),
    );
    caveats.extend(protocol.departures());
    caveats
}
