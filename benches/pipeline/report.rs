//! Medians, spread and ratios, as a table and as JSON.

use std::fmt::Write as _;

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: &'static str,
    unit: &'static str,
    ours: Vec<f64>,
    baseline: Vec<f64>,
}

impl Report {
    /// Pairs that were measured one after the other.
    pub fn pairs(
        &mut self,
        what: &'static str,
        unit: &'static str,
        ours: Vec<f64>,
        baseline: Vec<f64>,
    ) {
        self.rows.push(Row {
            what,
            unit,
            ours,
            baseline,
        });
    }

    /// Figures without a baseline.
    pub fn figures(&mut self, what: &'static str, unit: &'static str, ours: Vec<f64>) {
        self.pairs(what, unit, ours, Vec::new());
    }

    pub fn print(&self) {
        println!();
        println!("| what | ours | baseline | ratio | of |");
        println!("|---|---|---|---|---|");
        let mut json = Vec::new();
        for row in &self.rows {
            let ratios: Vec<f64> = row
                .ours
                .iter()
                .zip(&row.baseline)
                .map(|(o, b)| o / b)
                .collect();
            println!(
                "| {} | {} {} | {} | {} | {} |",
                row.what,
                spread(&row.ours),
                row.unit,
                spread(&row.baseline),
                spread(&ratios),
                row.ours.len()
            );
            json.push(serde_json::json!({
                "what": row.what, "unit": row.unit, "ours": row.ours,
                "baseline": row.baseline, "ratios": ratios,
            }));
        }
        println!();
        println!("{}", serde_json::Value::from(json));
    }
}

/// The median, and from the lowest to the highest where there are several.
fn spread(figures: &[f64]) -> String {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(median) = sorted.get(sorted.len() / 2) else {
        return "-".to_owned();
    };
    let mut text = short(*median);
    if let (true, Some(low), Some(high)) = (sorted.len() > 1, sorted.first(), sorted.last()) {
        let _ = write!(text, " ({} to {})", short(*low), short(*high));
    }
    text
}

fn short(figure: f64) -> String {
    if figure >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}
