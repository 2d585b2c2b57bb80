//! Where a system call has what it is about.

/// Where a call has what it is about: a path in one of its arguments.
pub const IN_FIRST: u8 = 1;
/// In the second.
pub const IN_SECOND: u8 = 2;
/// In the third.
pub const IN_THIRD: u8 = 3;
/// A socket address in the second, its length in the third.
pub const PEER_SECOND: u8 = 4;
/// A socket address in the fifth, its length in the sixth.
pub const PEER_FIFTH: u8 = 5;
/// An open file in the first.
pub const FILE_FIRST: u8 = 6;

/// Numbers of calls in the tables.
pub const CALLS_TABLE: usize = 512;

const fn table(lists: &[(u8, &[u16])]) -> [u8; CALLS_TABLE] {
    let mut table = [0; CALLS_TABLE];
    let mut list = 0;
    while list < lists.len() {
        let (place, calls) = lists[list];
        let mut call = 0;
        while call < calls.len() {
            table[calls[call] as usize] = place;
            call += 1;
        }
        list += 1;
    }
    table
}

/// Of 64-bit calls (`arch/x86/entry/syscalls/syscall_64.tbl`).
pub const SUBJECTS: [u8; CALLS_TABLE] = table(&[
    (
        IN_FIRST,
        &[
            2, 4, 6, 21, 59, 76, 80, 82, 83, 84, 85, 86, 87, 89, 90, 92, 94, 132, 133, 134, 137, 161, 166,
            167, 168, 188, 189, 191, 192, 235,
        ],
    ),
    (
        IN_SECOND,
        &[
            88, 165, 254, 257, 258, 259, 260, 261, 262, 263, 264, 265, 267, 268, 269, 280, 303, 322, 332,
            437, 439, 452,
        ],
    ),
    (IN_THIRD, &[266]),
    (PEER_SECOND, &[42, 49]),
    (PEER_FIFTH, &[44]),
    (FILE_FIRST, &[0, 1, 17, 18, 19, 20, 74, 75, 77, 285, 295, 296, 40, 326]),
]);

/// Of 32-bit calls (`syscall_32.tbl`).
pub const SUBJECTS_COMPAT: [u8; CALLS_TABLE] = table(&[
    (
        IN_FIRST,
        &[
            5, 8, 9, 10, 11, 12, 14, 15, 33, 38, 39, 40, 61, 85, 92, 99, 106, 107, 182, 193, 195, 196, 198,
            212,
        ],
    ),
    (IN_SECOND, &[295, 296, 297, 298, 299, 300, 301, 302, 303, 305, 306, 307, 358, 383, 437, 439]),
    (PEER_SECOND, &[361, 362]),
    (PEER_FIFTH, &[369]),
    (FILE_FIRST, &[3, 4, 93, 94, 118, 145, 146, 148, 180, 181, 324]),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_say_where_calls_have_what_they_are_about() {
        // open, openat, connect, sendto, write; futex has nothing.
        let places = [2, 257, 42, 44, 1, 202].map(|nr: usize| SUBJECTS[nr]);
        assert_eq!(places, [IN_FIRST, IN_SECOND, PEER_SECOND, PEER_FIFTH, FILE_FIRST, 0]);
        assert_eq!([5, 295, 4].map(|nr: usize| SUBJECTS_COMPAT[nr]), [IN_FIRST, IN_SECOND, FILE_FIRST]);
    }
}
