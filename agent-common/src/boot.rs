//! Which boot of the host this is.

use std::{fs, io};

/// The kernel's id of this boot: hexadecimal digits in groups. Changes with each boot.
pub fn id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}
