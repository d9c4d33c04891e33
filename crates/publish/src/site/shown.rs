//! The numbers that a page shows, read back from it, beside those that the releases give.

use std::collections::BTreeMap;

use super::section::Section;

/// The numbers of each section, by its anchor, in an order of their own: the page sorts by what telemetry.toml says.
type Shown = BTreeMap<String, Vec<String>>;

/// What is wrong on a page.
pub(super) fn misstated(sections: &[Section], page: &str) -> Vec<String> {
    let (expected, found) = (expected(sections), found(page));
    let mut wrong = Vec::new();
    for (slug, numbers) in &expected {
        match found.get(slug) {
            None => wrong.push(format!("it does not show {slug}")),
            Some(shown) if shown != numbers => {
                let is_new = |line: &&String| !numbers.contains(line);
                let line = shown.iter().find(is_new).map_or("a number is missing", String::as_str);
                wrong.push(format!("{slug} does not show what the releases give: {line}"));
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        found
            .keys()
            .filter(|slug| !expected.contains_key(*slug))
            .map(|slug| format!("it shows {slug}, of which the ledger says nothing")),
    );
    wrong
}

fn expected(sections: &[Section]) -> Shown {
    let lines = |section: &Section| {
        let mut lines = Vec::new();
        for chart in &section.charts {
            for bar in &chart.bars {
                lines.push(line(&[&bar.name, &bar.number, &bar.detail]));
            }
            if chart.plot.is_none() {
                continue;
            }
            for row in &chart.periods {
                let named = chart.bars.iter().zip(&row.numbers);
                lines.extend(named.map(|(bar, number)| line(&[&row.days, &bar.name, number])));
            }
        }
        lines.sort();
        lines
    };
    sections.iter().map(|section| (section.slug.clone(), lines(section))).collect()
}

/// Only what this program's own template prints is understood. Anything else is not what the releases give.
fn found(page: &str) -> Shown {
    let mut found = Shown::new();
    for section in page.split("<section class=\"table\" id=\"").skip(1) {
        let Some((slug, rest)) = section.split_once('"') else { continue };
        let text = rest.split("</section>").next().unwrap_or_default();
        if !text.contains("<table class=\"bars\">") {
            continue;
        }
        let mut lines = Vec::new();
        for table in text.split("<table class=\"").skip(1) {
            let table = table.split("</table>").next().unwrap_or_default();
            let rows = table.split("<tr>").skip(1);
            if table.starts_with("bars") {
                lines.extend(rows.filter_map(bar));
            } else {
                lines.extend(grid(rows));
            }
        }
        lines.sort();
        found.insert(slug.to_owned(), lines);
    }
    found
}

/// A row of the newest numbers.
fn bar(row: &str) -> Option<String> {
    let name = between(row, "<bdi>", "</bdi>")?;
    let number =
        between(row, "<td class=\"n\">", "<").or_else(|| between(row, "<td class=\"n hid\">", "<"))?;
    let detail = between(row, "<td class=\"n d\">", "<").unwrap_or_default();
    Some(line(&[&plain(name), &plain(number), &plain(detail)]))
}

/// The rows of all numbers, below a row of names.
fn grid<'a>(rows: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for row in rows {
        if row.contains("<bdi>") {
            let named = row.split("<bdi>").skip(1);
            names = named.map(|name| plain(name.split("</bdi>").next().unwrap_or_default())).collect();
            continue;
        }
        let Some((head, numbers)) = row.split_once("<td>") else { continue };
        let days = between(head, "<th scope=\"row\">", "<")
            .unwrap_or_else(|| head.split_once("<th scope=\"row\">").map_or("", |(_, days)| days));
        let days = plain(days.trim_end());
        let numbers: Vec<String> = numbers
            .split("<td>")
            .map(|number| plain(number.split('<').next().unwrap_or_default().trim_end()))
            .collect();
        if numbers.len() != names.len() {
            lines.push(format!("{days} has {} numbers", numbers.len()));
            continue;
        }
        lines.extend(names.iter().zip(&numbers).map(|(name, number)| line(&[&days, name, number])));
    }
    lines
}

fn line(parts: &[&str]) -> String {
    parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" | ")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// A text without the escapes that the template writes.
fn plain(text: &str) -> String {
    [("&#60;", "<"), ("&lt;", "<"), ("&#62;", ">"), ("&gt;", ">"), ("&#38;", "&"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, character)| text.replace(escaped, character))
}
