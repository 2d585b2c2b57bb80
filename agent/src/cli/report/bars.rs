//! Where the time of a process went, as a bar of letters.

use diagnosis::groups::{Group, cells};

use crate::cli::term::{Paint, Table};

/// Cells of a bar.
const BAR_CELLS: usize = 24;

/// Time of each group of states.
pub(in crate::cli) fn groups<'a>(
    states: impl IntoIterator<Item = (&'a String, &'a u64)>,
) -> [u64; Group::ALL.len()] {
    let mut sums = [0; Group::ALL.len()];
    for (key, ns) in states {
        let group = Group::of_key(key);
        let at = Group::ALL.iter().position(|one| *one == group).unwrap_or(0);
        sums[at] += ns;
    }
    sums
}

/// The wall time of all threads as one bar.
pub(super) fn bar<'a>(
    states: impl IntoIterator<Item = (&'a String, &'a u64)>,
) -> Vec<(char, usize, [u8; 3])> {
    let sums = groups(states);
    let widths = cells(&sums, BAR_CELLS);
    Group::ALL.iter().zip(widths).map(|(group, width)| (group.letter(), width, group.rgb())).collect()
}

pub(super) fn letters(bar: &[(char, usize, [u8; 3])]) -> String {
    bar.iter().flat_map(|(letter, width, _)| std::iter::repeat_n(*letter, *width)).collect()
}

/// Colours the letters of a bar where `line` has them.
fn coloured(line: &str, bar: &[(char, usize, [u8; 3])], paint: Paint) -> String {
    let plain = letters(bar);
    let Some((before, after)) = line.split_once(&plain).filter(|_| !plain.is_empty()) else {
        return line.to_owned();
    };
    let cells: String = bar
        .iter()
        .filter(|(_, width, _)| *width > 0)
        .map(|(letter, width, rgb)| paint.on_colour(letter.to_string().repeat(*width), *rgb))
        .collect();
    format!("{before}{cells}{after}")
}

pub(super) fn with_bars(table: &Table, bars: &[Vec<(char, usize, [u8; 3])>], paint: Paint) -> String {
    let plain = table.render(paint);
    let mut lines = plain.lines();
    let mut text = lines.next().map(|head| format!("{head}\n")).unwrap_or_default();
    for (line, bar) in lines.zip(bars) {
        text.push_str(&coloured(line, bar, paint));
        text.push('\n');
    }
    text
}

/// What the letters mean, those that are there.
pub(super) fn legend<'a>(bars: impl Iterator<Item = &'a (char, usize, [u8; 3])>, paint: Paint) -> String {
    let mut shown: Vec<char> =
        bars.filter(|(_, width, _)| *width > 0).map(|(letter, _, _)| *letter).collect();
    shown.sort_unstable();
    shown.dedup();
    let names: Vec<String> = Group::ALL
        .iter()
        .filter(|group| shown.contains(&group.letter()))
        .map(|group| format!("{} {}", paint.on_colour(group.letter().to_string(), group.rgb()), group.name()))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!("{}\n", names.join("  "))
        + &paint.dim("a bar is all threads × time; LOST%: held up, of one thread's time\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_all_of_the_wall_time_and_its_letters_are_explained() {
        let states = [("oncpu_user_ns", 250), ("fsync_ns", 500), ("poll_ns", 249), ("swap_ns", 1)];
        let states: std::collections::BTreeMap<String, u64> =
            states.map(|(name, ns)| (name.to_owned(), ns)).into();
        let bar = bar(&states);
        assert_eq!(letters(&bar), "UUUUUUDDDDDDDDDDDD......");
        let text = legend(bar.iter(), Paint::plain());
        assert!(text.contains("U user code  D storage  . idle\n"), "{text}");
        let painted = coloured(&format!("1  x  {}  y", letters(&bar)), &bar, Paint::always());
        assert!(painted.starts_with("1  x  \x1b[") && painted.contains("DDDDDDDDDDDD\x1b[0m"), "{painted:?}");
    }
}
