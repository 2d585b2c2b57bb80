//! Names that the grammar does not know, replaced before it is asked: `mean` is `avg`, `median(x)` is `quantile(0.5, x)`.

use crate::tokens::{Kind, Piece, pieces};

/// The text with other names replaced by those of the grammar.
pub(crate) fn aliases(text: &str) -> String {
    let pieces: Vec<Piece<'_>> = pieces(text).collect();
    let mut result = String::with_capacity(text.len());
    // Places of parentheses after which the share of a median goes.
    let mut medians = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let word = if piece.kind == Kind::Word { piece.text } else { "" };
        let replaced = if word.eq_ignore_ascii_case("mean") && arguments(&pieces, place, true).is_some() {
            "avg"
        } else if word == "mean_over_time" && arguments(&pieces, place, false).is_some() {
            "avg_over_time"
        } else if word == "holt_winters" && arguments(&pieces, place, false).is_some() {
            "double_exponential_smoothing"
        } else if word.eq_ignore_ascii_case("median") || word == "median_over_time" {
            let aggregation = word != "median_over_time";
            match arguments(&pieces, place, aggregation) {
                Some(begin) => {
                    medians.push(begin);
                    if aggregation { "quantile" } else { "quantile_over_time" }
                }
                None => piece.text,
            }
        } else {
            piece.text
        };
        result.push_str(replaced);
        if medians.contains(&place) {
            result.push_str("0.5, ");
        }
    }
    result
}

/// The place of the parenthesis that opens the arguments of the function at this place; of an aggregation, after its labels.
fn arguments(pieces: &[Piece<'_>], place: usize, aggregation: bool) -> Option<usize> {
    let next = |from: usize| (from..pieces.len()).find(|at| pieces[*at].kind != Kind::Space);
    let after = next(place + 1)?;
    if pieces[after].is_sign("(") {
        return Some(after);
    }
    let word = pieces[after].text;
    if !aggregation || !(word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without")) {
        return None;
    }
    let labels = next(after + 1).filter(|at| pieces[*at].is_sign("("))?;
    let end = (labels..pieces.len()).find(|at| pieces[*at].is_sign(")"))?;
    next(end + 1).filter(|at| pieces[*at].is_sign("("))
}

#[cfg(test)]
mod tests {
    use super::aliases;

    #[test]
    fn mean_and_median_become_what_the_grammar_knows() {
        for (ours, grammar) in [
            ("mean(x)", "avg(x)"),
            ("MEAN by (comm) (x)", "avg by (comm) (x)"),
            ("median(x)", "quantile(0.5, x)"),
            ("median by (a, b) (x) > 1", "quantile by (a, b) (0.5, x) > 1"),
            (
                "median(median_over_time(x[5m])) by (a)",
                "quantile(0.5, quantile_over_time(0.5, x[5m])) by (a)",
            ),
            ("mean_over_time(x[1m])", "avg_over_time(x[1m])"),
            ("holt_winters(x[1m], 0.5, 0.5)", "double_exponential_smoothing(x[1m], 0.5, 0.5)"),
        ] {
            assert_eq!(aliases(ours), grammar);
        }
    }

    #[test]
    fn names_strings_and_comments_stay() {
        for text in [
            "mean",
            "median{mean=\"median(x)\"}",
            "sum by (mean) (x) # mean(x)",
            "avg(mean_over_time)",
            "x:mean(y)",
        ] {
            assert_eq!(aliases(text), text);
        }
    }
}
