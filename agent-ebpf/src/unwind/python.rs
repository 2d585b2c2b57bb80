//! The Python frames of the current thread: see `agent_common::abi::python`.

use core::ffi::c_void;

use agent_common::abi::python::{
    ENTRY_ALWAYS, ENTRY_BELOW, LAYOUTS, MAX_PYTHON_FRAMES, MAX_THREADS, OWNED_BY_C, PythonFrame,
    PythonLayout, PythonVerdict,
};
use agent_common::abi::unwind::ProcessMaps;
use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;

use super::{DONE, FRAMES_MASK, GO_ON, Step};
use crate::kernel;

#[map]
static PYTHON_LAYOUTS: Array<PythonLayout> = Array::with_max_entries(LAYOUTS, 0);

/// Words of a frame, as the verifier believes it.
const WORDS_MASK: u32 = 15;

/// States of one thread that are followed, a power of two: one in each interpreter that has called the next.
const STATES: u32 = 4;
const STATES_MASK: u32 = STATES - 1;

/// What a thread has in one interpreter.
#[repr(C)]
#[derive(Clone, Copy)]
struct State {
    /// Its innermost frame.
    frame: u64,
    /// Grows outwards: an address on the thread's stack, or the order in which they were found.
    key: u64,
}

/// The part of a walk that is about Python frames.
#[repr(C)]
pub(super) struct Walk {
    /// FS base of the thread.
    own: u64,
    interp: u64,
    thread: u64,
    frame: u64,
    layout: u32,
    frames: u32,
    verdict: u32,
    /// States found.
    found: u32,
    /// The one whose key is looked for.
    slot: u32,
    pad: u32,
    /// Key of the state whose frames are taken.
    last: u64,
    states: [State; STATES as usize],
}

impl Walk {
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        (self.frames, self.verdict) = (0, PythonVerdict::None as u32);
    }

    /// Frames taken.
    #[inline(always)]
    pub(super) fn frames(&self) -> u32 {
        self.frames & FRAMES_MASK
    }

    #[inline(always)]
    pub(super) fn verdict(&self) -> u8 {
        self.verdict as u8
    }

    /// Notes a state of the thread.
    #[inline(always)]
    fn add(&mut self, frame: u64, key: u64) {
        if frame != 0 && self.found < STATES {
            self.states[(self.found & STATES_MASK) as usize] = State { frame, key };
            self.found += 1;
        }
    }

    /// The frame to go on with after those of the last state: the innermost of the next one outwards; 0: there is none.
    #[inline(always)]
    fn next_state(&mut self) -> u64 {
        let mut next = State { frame: 0, key: u64::MAX };
        for (place, state) in self.states.iter().enumerate() {
            if (place as u32) < self.found && state.key > self.last && state.key < next.key {
                next = *state;
            }
        }
        self.last = next.key;
        next.frame
    }

    #[inline(always)]
    fn layout(&self) -> Option<&'static PythonLayout> {
        PYTHON_LAYOUTS.get(self.layout)
    }
}

impl super::Walk {
    /// Finds the state of the current thread and takes its frames, behind the native ones.
    #[inline(always)]
    pub(super) fn take_python(&mut self, maps: &ProcessMaps, step: &mut Step) {
        let python = &mut self.python;
        python.own = kernel::fs_base();
        python.layout = maps.layout;
        python.verdict = PythonVerdict::NoThread as u32;
        (python.interp, python.thread, python.frame) = (0, 0, 0);
        (python.found, python.slot, python.last) = (0, 0, 0);
        let Some(interp) = self.word(maps.python) else { return self.lost() };
        self.python.interp = interp;
        let step = core::ptr::from_mut(step).cast::<c_void>();
        // SAFETY: the callbacks take what they are given here.
        unsafe { bpf_loop(MAX_THREADS, next_thread as *mut c_void, step, 0) };
        if self.python.found == 0 {
            return;
        }
        if self.python.found > 1 {
            // SAFETY: as above.
            unsafe { bpf_loop(STATES * MAX_PYTHON_FRAMES as u32, next_entry as *mut c_void, step, 0) };
        }
        self.python.frame = self.python.next_state();
        self.python.verdict = PythonVerdict::Truncated as u32;
        // SAFETY: as above.
        unsafe { bpf_loop(MAX_PYTHON_FRAMES as u32, next_python as *mut c_void, step, 0) };
    }

    #[inline(always)]
    fn word(&mut self, at: u64) -> Option<u64> {
        self.read(1, at).then(|| self.words[0])
    }

    #[inline(always)]
    fn lost(&mut self) {
        self.python.verdict = PythonVerdict::Fault as u32;
    }

    /// Looks at one thread, or goes on to the next interpreter's.
    #[inline(always)]
    fn thread(&mut self) -> Option<i64> {
        let layout = self.python.layout()?;
        let (interp, thread) = (self.python.interp, self.python.thread);
        if thread == 0 {
            if interp == 0 {
                return Some(DONE);
            }
            self.python.thread = self.word(interp.wrapping_add(u64::from(layout.interp_threads)))?;
            self.python.interp = self.word(interp.wrapping_add(u64::from(layout.interp_next)))?;
            return Some(GO_ON);
        }
        if self.word(thread.wrapping_add(u64::from(layout.thread_id)))? != self.python.own {
            self.python.thread = self.word(thread.wrapping_add(u64::from(layout.thread_next)))?;
            return Some(GO_ON);
        }
        let mut frame = self.word(thread.wrapping_add(u64::from(layout.thread_frame)))?;
        let mut key = u64::from(self.python.found) + 1;
        if layout.cframe != 0 && frame != 0 {
            // It lies on the thread's stack.
            key = frame;
            frame = self.word(frame.wrapping_add(u64::from(layout.cframe - 1)))?;
        }
        self.python.add(frame, key);
        // One in each interpreter: on to the next of them.
        self.python.thread = 0;
        Some(GO_ON)
    }

    /// Looks for the place on the thread's stack of one of its states: since 3.13 it is that of the frame below the one that
    /// was entered from C. Before, it is known.
    #[inline(always)]
    fn entry(&mut self) -> Option<i64> {
        let layout = self.python.layout()?;
        if layout.entry != ENTRY_BELOW || layout.cframe != 0 || self.python.slot >= self.python.found {
            return Some(DONE);
        }
        let place = (self.python.slot & STATES_MASK) as usize;
        if self.python.frame == 0 {
            self.python.frame = self.python.states[place].frame;
        }
        if !self.read(layout.frame_words, self.python.frame) {
            return None;
        }
        let word = |at: u32| self.words[(at >> 3 & WORDS_MASK) as usize];
        let mark = word(layout.entry_byte) >> ((layout.entry_byte & 7) * 8) & 0xff;
        let previous = word(layout.frame_previous);
        if mark == OWNED_BY_C {
            self.python.states[place].key = self.python.frame;
        }
        self.python.frame = if mark == OWNED_BY_C { 0 } else { previous };
        self.python.slot += u32::from(self.python.frame == 0);
        Some(GO_ON)
    }

    /// Notes one frame.
    ///
    /// # Safety
    /// As of [`super::Walk::take`].
    #[inline(always)]
    unsafe fn python_frame(&mut self, frames: *mut u64) -> Option<i64> {
        let layout = self.python.layout()?;
        if !self.read(layout.frame_words, self.python.frame) {
            return None;
        }
        let word = |at: u32| self.words[(at >> 3 & WORDS_MASK) as usize];
        let (code, instr) = (word(layout.frame_code), word(layout.frame_instr));
        let previous = word(layout.frame_previous);
        let mark = word(layout.entry_byte) >> ((layout.entry_byte & 7) * 8) & 0xff;
        let at = if layout.code_start == 0 {
            i64::from(instr as i32) >> (layout.lasti_bytes & 1)
        } else {
            (instr.wrapping_sub(code).wrapping_sub(u64::from(layout.code_start)) as i64) >> 1
        };
        // −1 before the first.
        let at = if at < 0 { 0 } else { at as u64 };
        let below = layout.entry == ENTRY_BELOW;
        let entry = layout.entry == ENTRY_ALWAYS || if below { mark == OWNED_BY_C } else { mark != 0 };
        let noted =
            if below && entry { PythonFrame::new(0, 0, true) } else { PythonFrame::new(code, at, entry) };
        let place = (self.frames & FRAMES_MASK) + (self.python.frames & FRAMES_MASK);
        // SAFETY: as promised.
        unsafe { frames.add(place as usize).write_volatile(noted.0) };
        self.python.frames += 1;
        self.python.frame = if previous == 0 { self.python.next_state() } else { previous };
        if self.python.frame == 0 {
            self.python.verdict = PythonVerdict::Complete as u32;
            return Some(DONE);
        }
        Some(GO_ON)
    }
}

/// Callback of `bpf_loop`.
extern "C" fn next_thread(_index: u32, step: *mut c_void) -> i64 {
    // SAFETY: `take` made it.
    let walk = unsafe { &mut *(*step.cast::<Step>()).walk };
    walk.thread().unwrap_or_else(|| {
        walk.lost();
        DONE
    })
}

/// Callback of `bpf_loop`.
extern "C" fn next_entry(_index: u32, step: *mut c_void) -> i64 {
    // SAFETY: `take` made it.
    let walk = unsafe { &mut *(*step.cast::<Step>()).walk };
    walk.entry().unwrap_or_else(|| {
        walk.lost();
        DONE
    })
}

/// Callback of `bpf_loop`.
extern "C" fn next_python(_index: u32, step: *mut c_void) -> i64 {
    let step = step.cast::<Step>();
    // SAFETY: `take` made it.
    let walk = unsafe { &mut *(*step).walk };
    // SAFETY: as of `take`.
    let next = unsafe { walk.python_frame((*step).frames) };
    next.unwrap_or_else(|| {
        walk.lost();
        DONE
    })
}
