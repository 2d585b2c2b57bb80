//! Stacks of a finding, as lines for people.

use diagnosis::scaffolding::is_kernel_entry;
use diagnosis::stacks::OTHER_STACKS;
use profile::Kind;

/// A line: `leaf < caller < …`, and its part of the weight of all, percent.
pub(in crate::cli) type Line = (f64, String);

/// Lines of these folded stacks, heaviest first, each with `frames` frames at most: half of them in the kernel, where a program
/// has frames of its own. Stacks that look the same are one line.
pub(in crate::cli) fn lines(stacks: &[String], frames: usize) -> Vec<Line> {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for folded in stacks {
        let (stack, weight) = share(folded);
        let text = if stack == OTHER_STACKS { "other stacks".to_owned() } else { line(stack, frames) };
        match lines.iter_mut().find(|(_, known)| *known == text) {
            Some((sum, _)) => *sum = sum.saturating_add(weight),
            None => lines.push((weight, text)),
        }
    }
    let total = lines.iter().fold(0_u64, |sum, (weight, _)| sum.saturating_add(*weight)).max(1);
    lines.into_iter().map(|(weight, text)| (weight as f64 * 100.0 / total as f64, text)).collect()
}

/// A folded line's stack and weight; 0 where it has none.
fn share(line: &str) -> (&str, u64) {
    match line.rsplit_once(' ').map(|(stack, weight)| (stack, weight.parse())) {
        Some((stack, Ok(weight))) => (stack, weight),
        _ => (line, 0),
    }
}

fn line(stack: &str, frames: usize) -> String {
    let of_kernel = |frame: &&str| Kind::of_text(frame).0 == Kind::Kernel;
    let (kernel, user): (Vec<&str>, Vec<&str>) = stack.rsplit(';').partition(of_kernel);
    let inner: Vec<&str> =
        kernel.into_iter().filter(|frame| !is_kernel_entry(Kind::of_text(frame).1)).collect();
    // The root is the process' name.
    let has_own = user.len() > 1;
    let of_kernel = inner.len().min(if has_own { frames / 2 } else { frames });
    let of_user = user.len().min(frames - of_kernel);
    let mut shown: Vec<String> = inner[..of_kernel].iter().map(|frame| plain(frame)).collect();
    if of_kernel < inner.len() && of_user > 0 && has_own {
        shown.push("…".to_owned());
    }
    shown.extend(user[..of_user].iter().map(|frame| plain(frame)));
    if of_user < user.len() {
        shown.push("…".to_owned());
    }
    shown.join(" < ")
}

/// Without the mark of its kind; that a function is inlined stays visible.
fn plain(frame: &str) -> String {
    match Kind::of_text(frame) {
        (Kind::Inlined, _) => shortened(frame),
        (_, name) => shortened(name),
    }
}

/// A frame's name, shortened. Names of generic code have up to 1000 letters: beginning and end identify the function.
fn shortened(frame: &str) -> String {
    const MAX_NAME_CHARS: usize = 100;
    const BEGINNING_CHARS: usize = 62;
    let letters = frame.chars().count();
    if letters <= MAX_NAME_CHARS {
        return frame.to_owned();
    }
    let begin: String = frame.chars().take(BEGINNING_CHARS).collect();
    let end: String = frame.chars().skip(letters - (MAX_NAME_CHARS - BEGINNING_CHARS - 1)).collect();
    format!("{begin}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(stacks: &[&str], frames: usize) -> Vec<String> {
        let stacks: Vec<String> = stacks.iter().map(|&stack| stack.to_owned()).collect();
        lines(&stacks, frames).into_iter().map(|(part, text)| format!("{part:.0} {text}")).collect()
    }

    #[test]
    fn a_stack_is_read_from_its_leaf_and_ways_into_the_kernel_are_left_out() {
        let wait = "app;main;work;entry_SYSCALL_64_after_hwframe_[k];do_syscall_64_[k];__x64_sys_read_[k];a_[k];b_[k];c_[k]";
        assert_eq!(texts(&[&format!("{wait} 12")], 4), ["100 c < b < … < work < main < …"]);
        assert_eq!(texts(&["app;main;work 3"], 2), ["100 work < main < …"]);
        assert_eq!(texts(&["kworker;a_[k];b_[k];c_[k] 3"], 2), ["100 c < b < …"]);
        assert_eq!((share("a;b 7"), share("a;b c")), (("a;b", 7), ("a;b c", 0)));
    }

    #[test]
    fn stacks_that_look_the_same_are_one_line_and_parts_are_of_all() {
        let others = format!("{OTHER_STACKS} 4");
        let found = texts(&["p;x;a;b 3", "p;y;a;b 2", "p;c 1", &others], 2);
        assert_eq!(found, ["50 b < a < …", "10 c < p", "40 other stacks"]);
    }
}
