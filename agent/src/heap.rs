//! The C library's allocator, made to return unused memory to the kernel.
//!
//! With its usual settings 37 MiB of the heap of `agent flamegraph --all` stayed resident after the start, of which 8 were in
//! use, and 198 MiB of the daemon's beside eight builds, of which 100 were.

#[cfg(feature = "relay")]
use std::time::Duration;

/// Most malloc arenas. glibc gives each contending thread an arena of its own, up to eight a CPU, and an arena does not reuse what
/// another one freed.
const MAX_ARENAS: libc::c_int = 2;
/// From this size on a block is mapped, and unmapped when it is freed. Unless it is set, the first large block that is freed
/// raises it, up to 32 MiB, and later ones leave holes.
const MAPPED_BYTES: libc::c_int = 128 << 10;
/// So much that is free at the end of the heap goes back to the kernel. Unless it is set, twice the size above.
const TRIM_BYTES: libc::c_int = 256 << 10;

/// How far apart [`keep_giving_back`] returns pages.
#[cfg(feature = "relay")]
const GIVE_BACK_EVERY: Duration = Duration::from_secs(30);

/// Call it before there is a second thread.
pub(crate) fn keep_small() {
    for (setting, value) in [
        (libc::M_ARENA_MAX, MAX_ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
        (libc::M_TRIM_THRESHOLD, TRIM_BYTES),
    ] {
        // SAFETY: settings of the allocator; a value that it does not take changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// Returns all free pages to the kernel, those between blocks in use as well: naming a host's stacks leaves 15 MiB of them.
/// It takes some milliseconds.
pub(crate) fn give_back() {
    // SAFETY: it changes nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Returns them again and again: of 33 MiB that the largest query allowed leaves to the server part, 5 are in use.
#[cfg(feature = "relay")]
pub(crate) async fn keep_giving_back() {
    let mut beat = tokio::time::interval(GIVE_BACK_EVERY);
    loop {
        beat.tick().await;
        give_back();
    }
}
