//! Scaffolding: frames that are in every stack of a language and carry no information (start of a program or a thread, call of a
//! closure). Stacks in reports omit them, and generic arguments; flame graphs and exported profiles keep them.

/// Matches a frame's name without generic arguments.
enum Rule {
    Is(&'static str),
    Begins(&'static str),
    Ends(&'static str),
}
use profile::{Kind, brief};

use Rule::{Begins, Ends, Is};

/// Scaffolding frames of all languages.
const SCAFFOLDING: &[Rule] = &[
    // C libraries.
    Is("_start"),
    Is("_start_c"),
    Begins("__libc_start_main"),
    Begins("__libc_start_call_main"),
    Begins("libc_start_main_stage"),
    Is("start_thread"),
    Is("clone"),
    Is("clone3"),
    Is("__clone"),
    Is("__clone3"),
    Is("__GI___clone3"),
    // Rust.
    Begins("std::rt::lang_start"),
    Begins("std::sys::backtrace::__rust_begin_short_backtrace"),
    Begins("std::sys_common::backtrace::__rust_begin_short_backtrace"),
    Begins("core::ops::function::FnOnce::call_once"),
    Begins("core::ops::function::impls::"),
    Ends("core::ops::function::FnOnce>::call_once"),
    Ends("core::ops::function::FnOnce<..>>::call_once"),
    Begins("std::panicking::try"),
    Begins("std::panicking::catch_unwind"),
    Begins("std::panic::catch_unwind"),
    Is("__rust_try"),
    Begins("std::thread::Builder::spawn_unchecked"),
    Begins("std::thread::lifecycle::spawn_unchecked"),
    Begins("std::sys::pal::unix::thread::Thread::new::thread_start"),
    Begins("std::sys::thread::unix::Thread::new::thread_start"),
    // C++.
    Is("execute_native_thread_routine"),
    Begins("std::thread::_State_impl<..>::_M_run"),
    Begins("std::thread::_Invoker<..>::"),
    Begins("std::_Function_handler<..>::_M_invoke"),
    Begins("std::__invoke"),
    // Go.
    Begins("runtime.goexit"),
    Is("runtime.main"),
    Begins("runtime.rt0_go"),
    Begins("runtime.mstart"),
    Begins("_rt0_"),
    // CPython: from the program to the module, and from a thread to its function.
    Is("Py_BytesMain"),
    Is("Py_RunMain"),
    Begins("pymain_"),
    Begins("_PyRun_"),
    Begins("pyrun_"),
    Is("PyEval_EvalCode"),
    Is("run_mod"),
    Is("run_eval_code_obj"),
    Begins("_run_module_as_main ("),
    Begins("_run_module_code ("),
    Begins("_run_code ("),
    Is("thread_run"),
    Is("pythread_wrapper"),
    Begins("Thread._bootstrap ("),
    Begins("Thread._bootstrap_inner ("),
    // Before 3.11 without the class.
    Begins("_bootstrap (threading.py"),
    Begins("_bootstrap_inner (threading.py"),
    // Java.
    Is("JavaMain"),
    Is("ThreadJavaMain"),
    Is("call_stub"),
    Is("thread_native_entry"),
    Begins("Thread::call_run"),
    Begins("JavaThread::run"),
    Begins("JavaThread::thread_main_inner"),
    Begins("JavaCalls::call_"),
];

/// How every way into the kernel begins.
const KERNEL_ENTRIES: &[Rule] = &[
    Is("do_syscall_64"),
    Is("x64_sys_call"),
    Is("entry_SYSCALL_64_after_hwframe"),
    Is("exc_page_fault"),
    Is("asm_exc_page_fault"),
    Is("ret_from_fork_asm"),
    Begins("__x64_sys_"),
    Begins("__ia32_sys_"),
    Begins("__se_sys_"),
];

/// True for a kernel function with which every way into the kernel begins: a line for people omits it.
#[must_use]
pub fn is_kernel_entry(name: &str) -> bool {
    KERNEL_ENTRIES.iter().any(|rule| rule.fits(name))
}

impl Rule {
    fn fits(&self, name: &str) -> bool {
        match self {
            Is(text) => name == *text,
            Begins(text) => name.starts_with(text),
            Ends(text) => name.ends_with(text),
        }
    }
}

/// A folded stack as a report shows it, without scaffolding. Process name and leaf stay.
#[must_use]
pub(super) fn without(stack: &str) -> String {
    let frames: Vec<&str> = stack.split(';').collect();
    let last = frames.len() - 1;
    let shown = frames.iter().enumerate().filter_map(|(at, frame)| {
        if at == 0 {
            return Some((*frame).to_owned());
        }
        let (kind, name) = Kind::of_text(frame);
        if kind == Kind::Kernel {
            return Some((*frame).to_owned());
        }
        // Python's `<locals>` and `<lambda>` are no generic arguments.
        let short = if kind == Kind::Interpreted { name.to_owned() } else { brief(name) };
        let scaffolding = SCAFFOLDING.iter().any(|rule| rule.fits(&short));
        (at == last || !scaffolding).then(|| format!("{short}{}", &frame[name.len()..]))
    });
    shown.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_stacks_keep_what_is_the_programs_own() {
        for (stack, want) in [
            (
                "actor;clone3;start_thread;std::sys::thread::unix::Thread::new::thread_start;\
                 <alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once_[i];\
                 core::ops::function::FnOnce::call_once{{vtable.shim}};\
                 std::thread::lifecycle::spawn_unchecked::{{closure}}_[i];std::panicking::catch_unwind_[i];\
                 std::panicking::catch_unwind::do_call_[i];\
                 std::sys::backtrace::__rust_begin_short_backtrace;actor::locks::hold::{{closure}}_[i];\
                 std::sync::Mutex<alloc::vec::Vec<u64>>::lock;syscall;do_syscall_64_[k];futex_wait_[k]",
                "actor;actor::locks::hold::{{closure}}_[i];std::sync::Mutex<..>::lock;syscall;\
                 do_syscall_64_[k];futex_wait_[k]",
            ),
            (
                "actor;_start;__libc_start_main_impl;__libc_start_call_main;main;std::rt::lang_start_internal;\
                 std::rt::lang_start::{{closure}};core::ops::function::FnOnce::call_once_[i];actor::main",
                "actor;main;actor::main",
            ),
            ("server;runtime.goexit.abi0;runtime.main;main.main;main.work", "server;main.main;main.work"),
            (
                "python3;_start;__libc_start_main_impl;__libc_start_call_main;Py_BytesMain;Py_RunMain;\
                 pymain_run_python;_PyRun_AnyFileObject;run_mod;PyEval_EvalCode;<module> (a.py:9)_[j];\
                 f.<locals>.<lambda> (a.py:3)_[j]",
                "python3;<module> (a.py:9)_[j];f.<locals>.<lambda> (a.py:3)_[j]",
            ),
            (
                "redis-server;_start;__libc_start_main_impl;__libc_start_call_main;main;aeMain",
                "redis-server;main;aeMain",
            ),
            // The leaf stays, whatever it is, and a process that is called so.
            ("clone3;_start;clone3", "clone3;clone3"),
            ("app;[libfoo.so+0x10];_start", "app;[libfoo.so+0x10];_start"),
        ] {
            assert_eq!(without(stack), want);
        }
    }

    #[test]
    fn a_name_that_only_resembles_scaffolding_stays() {
        for stack in ["app;start_threads;x", "app;clone_repository;x", "app;my::FnOnce::call_once;x", "app"] {
            assert_eq!(without(stack), stack);
        }
    }
}
