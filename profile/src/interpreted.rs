//! One stack out of two: native frames, where the interpreter shows as calls of its loop, and Python's own.

use agent_common::abi::python::PythonFrame;

/// A native stack of so many frames was cut: the kernel side takes no more.
const CUT: usize = agent_common::abi::oncpu::MAX_FRAMES;

/// How the frames of a stack follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Merged {
    /// Indices, leaf first. Calls of the loop that Python frames stand for are left out.
    pub(crate) order: Vec<usize>,
    /// Each call of the loop has its Python frames, as far as the native stack goes.
    pub(crate) fits: bool,
}

/// Puts the Python frames at the end of `user` in place of the calls of the interpreter's loop among the native frames before
/// them; `is_loop` says whether the frame at an index is such a call. Both are leaf first.
///
/// One call of the loop runs the Python frames down to the next entry frame. Where there is one more call than that, the
/// innermost has just begun or is about to end, and has no frame. Where either stack was cut, what is there is matched from
/// the leaf. Python frames that no call is left for come last: their order is right, only what native frames lie between
/// is not known.
#[must_use]
pub(crate) fn merge(user: &[u64], is_loop: impl Fn(usize) -> bool) -> Merged {
    let natives = user.iter().position(|word| PythonFrame::of(*word).is_some()).unwrap_or(user.len());
    let frames: Vec<PythonFrame> = user[natives..].iter().filter_map(|word| PythonFrame::of(*word)).collect();
    let loops = (0..natives).filter(|index| is_loop(*index)).count();
    let calls = frames.iter().filter(|frame| frame.is_entry()).count();
    let complete = frames.last().is_none_or(|frame| frame.is_entry());
    // A part without its entry frame, at the end, is one too.
    let parts = calls + usize::from(!complete);
    let idle = if complete { loops.saturating_sub(parts) } else { 0 };
    let mut order = Vec::with_capacity(user.len());
    let mut rest = natives..natives + frames.len();
    let mut part = |order: &mut Vec<usize>| {
        let before = order.len();
        let left = rest.len();
        for index in rest.by_ref() {
            let frame = frames[index - natives];
            if frame.code() != 0 {
                order.push(index);
            }
            if frame.is_entry() {
                break;
            }
        }
        (left > 0).then_some(order.len() > before)
    };
    let mut seen = 0;
    for index in 0..natives {
        if !is_loop(index) {
            order.push(index);
            continue;
        }
        seen += 1;
        if seen <= idle || part(&mut order) != Some(true) {
            order.push(index);
        }
    }
    while part(&mut order).is_some() {}
    let fits = natives >= CUT || !complete || loops == parts || loops == parts + 1;
    Merged { order, fits }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack in letters, leaf first: `L` a call of the loop, another capital a native function; `.` a mark, a small letter
    /// a Python function, with `|` behind it an entry frame.
    fn merged(text: &str) -> (String, bool) {
        let (mut user, mut letters): (Vec<u64>, Vec<char>) = (Vec::new(), Vec::new());
        for char in text.chars() {
            match char {
                '|' => {
                    let last = user.pop().and_then(PythonFrame::of).expect("a frame");
                    user.push(PythonFrame::new(last.code(), 0, true).0);
                    continue;
                }
                '.' => user.push(PythonFrame::new(0, 0, true).0),
                'a'..='z' => user.push(PythonFrame::new(u64::from(u32::from(char)) * 8, 0, false).0),
                _ => user.push(u32::from(char).into()),
            }
            letters.push(char);
        }
        let merged = merge(&user, |index| letters[index] == 'L');
        (merged.order.iter().map(|index| letters[*index]).collect(), merged.fits)
    }

    #[test]
    fn a_call_of_the_loop_runs_the_frames_down_to_an_entry_frame() {
        assert_eq!(merged("CLVLMSab|c|"), ("CabVcMS".into(), true));
        // 3.9 and 3.10: one each.
        assert_eq!(merged("LVLVLMSa|b|c|"), ("aVbVcMS".into(), true));
        // Since 3.12: a frame of its own below each.
        assert_eq!(merged("CLVLMSab.c."), ("CabVcMS".into(), true));
        assert_eq!(merged("CMS"), ("CMS".into(), true));
    }

    #[test]
    fn a_call_that_has_no_frame_yet_or_any_more_is_the_innermost() {
        assert_eq!(merged("LVLMSa|"), ("LVaMS".into(), true));
        assert_eq!(merged("LVLMS.a."), ("LVaMS".into(), true));
        assert_eq!(merged("LVLVLMSa|"), ("LVLVaMS".into(), false));
    }

    #[test]
    fn frames_of_a_native_stack_that_was_cut_come_last() {
        assert_eq!(merged("CLVa|b|c|"), ("CaVbc".into(), false));
        let cut = format!("{}LVab|c|", "C".repeat(125));
        assert_eq!(merged(&cut), (format!("{}abVc", "C".repeat(125)), true));
        assert_eq!(merged("CVab|"), ("CVab".into(), false));
    }

    #[test]
    fn python_frames_that_were_cut_are_matched_from_the_leaf() {
        assert_eq!(merged("CLVLMSab"), ("CabVLMS".into(), true));
        assert_eq!(merged("CLVLMSa|bc"), ("CaVbcMS".into(), true));
    }
}
