//! Makes a journal file with LZ4 of one with ZSTD that is not compact.

const DATA: u8 = 1;
const ENTRY: u8 = 3;
const PAYLOAD: usize = 64;
const OBJECT_LZ4: u8 = 2;
const OBJECT_ZSTD: u8 = 4;

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize
}

/// Writes each ZSTD object anew behind the last object, and has the entries name that one; how many.
pub(crate) fn rewrite(bytes: &mut Vec<u8>) -> usize {
    let (start, tail) = (number(bytes, 88), number(bytes, 136));
    let mut objects = Vec::new();
    let mut at = start;
    while at <= tail {
        objects.push(at);
        at += number(bytes, at + 8).next_multiple_of(8);
    }
    let mut moved = std::collections::HashMap::new();
    for &at in &objects {
        if bytes[at] == DATA && bytes[at + 1] == OBJECT_ZSTD {
            let raw = zstd::decode_all(&bytes[at + PAYLOAD..at + number(bytes, at + 8)]).expect("a frame");
            let mut object = bytes[at..at + PAYLOAD].to_vec();
            object[1] = OBJECT_LZ4;
            object.extend((raw.len() as u64).to_le_bytes());
            object.extend(lz4_flex::block::compress(&raw));
            let size = object.len() as u64;
            object[8..16].copy_from_slice(&size.to_le_bytes());
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            moved.insert(at, bytes.len());
            bytes.extend(object);
        }
    }
    for &at in &objects {
        if bytes[at] == ENTRY {
            for item in (at + PAYLOAD..at + number(bytes, at + 8)).step_by(16) {
                if let Some(to) = moved.get(&number(bytes, item)) {
                    bytes[item..item + 8].copy_from_slice(&(*to as u64).to_le_bytes());
                }
            }
        }
    }
    bytes[12] = bytes[12] & !8 | 2;
    // The arena reaches to the end of the file.
    let arena = (bytes.len() - start) as u64;
    bytes[96..104].copy_from_slice(&arena.to_le_bytes());
    moved.len()
}
