//! The geometry of charts. Positions are percentages, and paths are drawn in a box of 1000 by 500 that the page stretches, so
//! that texts keep their size on every screen.

use std::fmt::Write as _;

use jiff::ToSpan;
use jiff::civil::Date;

use super::labels;
use super::timeline::Timeline;

/// The box of a path.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 500.0;
/// More lines cannot be told apart. Every value also has a small chart of its own.
pub(super) const MAX_LINES: usize = 8;
/// More points do not become visible, but make the page large.
const MAX_POINTS: usize = 270;
/// The same for the small charts.
const MAX_SMALL_POINTS: usize = 90;
/// Labels at the ends of lines are at least this far apart, in percent of the chart's height: a line of text of 18 pixels.
const LABEL_DISTANCE: f64 = 6.6;

/// What a chart shows of a value in a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Point {
    /// Not counted.
    Missing,
    /// Less than this, which is not zero.
    Below(f64),
    /// This.
    Shown(f64),
}

impl Point {
    pub(super) fn shown(self) -> Option<f64> {
        match self {
            Self::Shown(value) => Some(value),
            _ => None,
        }
    }
}

/// What a chart counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Installations,
    Percent,
}

impl Unit {
    pub(super) fn label(self, value: f64) -> String {
        match self {
            Self::Installations => labels::number(value as u64),
            Self::Percent => labels::percent(value),
        }
    }
}

/// A chart of lines over time.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) ticks: Vec<Tick>,
    pub(super) days: Vec<Tick>,
    pub(super) lines: Vec<Line>,
    /// Where a period was corrected or withdrawn.
    pub(super) marks: Vec<f64>,
}

/// A position on an axis, in percent from the top or the left.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

/// A line, with its label at its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) label_at: f64,
}

/// A chart of the first lines, or `None` if there are fewer than two periods to compare.
pub(super) fn plot(timeline: &Timeline<'_>, lines: &[(&str, &[Point])], unit: Unit) -> Option<Plot> {
    if timeline.releases().count() < 2 {
        return None;
    }
    let lines = &lines[..lines.len().min(MAX_LINES)];
    let greatest = lines
        .iter()
        .flat_map(|(_, points)| points.iter().filter_map(|point| point.shown()))
        .fold(0.0, f64::max);
    if greatest == 0.0 {
        return None;
    }
    let step = step(greatest / 4.0);
    let top = (greatest / step).ceil() * step;
    let ticks = (0..)
        .map(|tick| f64::from(tick) * step)
        .take_while(|value| *value <= top * 1.001)
        .map(|value| Tick { at: 100.0 - value / top * 100.0, label: tick_label(unit, value) })
        .collect();
    let mut drawn: Vec<Line> = lines
        .iter()
        .map(|(name, points)| {
            let last = points.iter().rev().find_map(|point| point.shown()).unwrap_or_default();
            Line {
                name: (*name).to_owned(),
                path: path(timeline, points, top, MAX_POINTS),
                label_at: 100.0 - last / top * 100.0,
            }
        })
        .collect();
    spread(&mut drawn);
    let marks = timeline.periods.iter().enumerate().filter_map(|(position, period)| {
        let is_marked = period.release.is_none_or(|release| release.number > 1);
        is_marked.then(|| x(timeline, position) * 100.0)
    });
    Some(Plot { ticks, days: days(timeline), lines: drawn, marks: marks.collect() })
}

/// A small chart of one line, from zero to its own greatest value.
pub(super) fn small(timeline: &Timeline<'_>, points: &[Point]) -> Option<String> {
    let shown = points.iter().filter_map(|point| point.shown());
    let greatest = shown.clone().fold(0.0, f64::max);
    (shown.count() > 1 && greatest > 0.0).then(|| path(timeline, points, greatest, MAX_SMALL_POINTS))
}

fn tick_label(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Installations => labels::number(value as u64),
        // The decimals that the step needs.
        Unit::Percent => format!("{}%", (value * 100.0).round() / 100.0),
    }
}

/// The smallest of 1, 2, 2.5, 5, 10, … that is not less.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= least * 0.999)
        .unwrap_or(10.0 * power)
}

/// The position of a period, 0 to 1.
fn x(timeline: &Timeline<'_>, position: usize) -> f64 {
    let (Some(first), Some(last)) = (timeline.periods.first(), timeline.periods.last()) else { return 0.0 };
    days_between(first.start, timeline.periods[position].start)
        / days_between(first.start, last.start).max(1.0)
}

fn days_between(from: Date, to: Date) -> f64 {
    to.since(from).map_or(0.0, |span| f64::from(span.get_days()))
}

/// A path through what is shown. It breaks where a number is missing, and a number between two breaks is a dot.
fn path(timeline: &Timeline<'_>, points: &[Point], top: f64, most: usize) -> String {
    let every = points.len().div_ceil(most).max(1);
    let mut path = String::new();
    let mut before: Option<(i64, i64)> = None;
    for (position, point) in points.iter().enumerate() {
        // InstallationCount from the newest, which is always drawn.
        if !(points.len() - 1 - position).is_multiple_of(every) {
            if point.shown().is_none() {
                before = None;
            }
            continue;
        }
        let Some(value) = point.shown() else {
            before = None;
            continue;
        };
        if every == 1 && !timeline.follows(position) {
            before = None;
        }
        let here = (
            (x(timeline, position) * WIDTH).round() as i64,
            ((1.0 - (value / top).min(1.0)) * HEIGHT).round() as i64,
        );
        // Writing to a string cannot fail.
        let _ = match before {
            Some((x, y)) => write!(path, "l{} {}", here.0 - x, here.1 - y),
            // A line without length, which a round cap turns into a dot.
            None => write!(path, "M{} {}h0", here.0, here.1),
        };
        before = Some(here);
    }
    path
}

/// Moves labels apart, from top to bottom and back.
fn spread(lines: &mut [Line]) {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| lines[*a].label_at.total_cmp(&lines[*b].label_at));
    let mut least = 0.0;
    for &line in &order {
        lines[line].label_at = lines[line].label_at.max(least);
        least = lines[line].label_at + LABEL_DISTANCE;
    }
    let mut most = 100.0;
    for &line in order.iter().rev() {
        lines[line].label_at = lines[line].label_at.min(most);
        most = lines[line].label_at - LABEL_DISTANCE;
    }
}

/// At most seven days for the axis of time: Mondays of a short time, firsts of months, quarters, or years of a long one.
fn days(timeline: &Timeline<'_>) -> Vec<Tick> {
    let (Some(first), Some(last)) = (timeline.periods.first(), timeline.periods.last()) else {
        return Vec::new();
    };
    let total = days_between(first.start, last.start).max(1.0);
    let tick =
        |date: Date, label: String| Tick { at: days_between(first.start, date) / total * 100.0, label };
    if total < 84.0 {
        let every = timeline.periods.len().div_ceil(5);
        let periods = timeline.periods.iter().step_by(every);
        return periods
            .map(|period| tick(period.start, period.start.strftime("%-d %b").to_string()))
            .collect();
    }
    let months = (total / 30.4).ceil() as i64;
    let every = [1, 2, 3, 6, 12, 24, 60].into_iter().find(|every| months / every <= 6).unwrap_or(120);
    let year = first.start.first_of_year();
    (0..)
        .map(|step| year.saturating_add((step * every).months()))
        .take_while(|date| *date <= last.start)
        .filter(|date| *date >= first.start)
        .map(|date| {
            let has_year = every >= 12 || date.month() == 1;
            tick(date, date.strftime(if has_year { "%Y" } else { "%b" }).to_string())
        })
        .collect()
}
