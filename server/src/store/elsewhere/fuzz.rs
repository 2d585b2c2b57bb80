//! Entries for fuzzing: answers of a store elsewhere, which need not be what they seem. Each must return, whatever the bytes.
//! The targets are in `server/fuzz`; a test changes answers at random.

use super::collected::Collected;
use super::language::{Question, What};
use super::metrics::Metric;
use super::{flux, influxql, prometheus};

/// An entry, and the name of its target.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: [Entry; 3] =
    [("annotated_csv", annotated_csv), ("influxql", influxql), ("prometheus", prometheus)];

/// Runs the entry `name`.
///
/// # Panics
/// If there is none of that name, or the entry has found a fault.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, entry) = ENTRIES.iter().find(|(known, _)| *known == name).expect("a target of this name");
    entry(bytes);
}

fn question(metrics: &[Metric]) -> Question<'_> {
    Question { what: What::Points, metrics, matchers: &[], times: 0..1 << 60 }
}

fn metrics() -> [Metric; 2] {
    [Metric::new("m", "f"), Metric::new("", "m_f")]
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

fn annotated_csv(bytes: &[u8]) {
    let (metrics, mut into) = (metrics(), Collected::default());
    let question = question(&metrics);
    let mut reader = flux::Reader::default();
    {
        let mut each = flux::collecting(&question, &mut into);
        let read = lines(bytes).try_for_each(|line| reader.line(line, &mut each));
        let _ = read.and_then(|()| reader.end(&mut each));
    }
    sound(into);
}

fn influxql(bytes: &[u8]) {
    let mut into = Collected::default();
    let _ = lines(bytes).try_for_each(|line| influxql::collect(line, &metrics(), &mut into));
    sound(into);
}

fn prometheus(bytes: &[u8]) {
    let (metrics, mut into) = (metrics(), Collected::default());
    let _ = prometheus::collect(bytes, &question(&metrics), 0, &metrics[1..], &mut into);
    sound(into);
}

/// Times are in order, each once.
fn sound(into: Collected) {
    for series in into.ordered() {
        assert!(series.points.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "#datatype,string,long,dateTime:RFC3339,long,string,string,string\n\
        #group,false,false,false,false,true,true,true\n#default,_result,,,,,,\n\
        ,result,table,_time,_value,_field,_measurement,comm\n,,0,2023-11-14T22:13:21.000000001Z,250,f,m,\"a,\"\"b\"\"\"\n\
        ,,1,2023-11-14T22:13:22Z,-1e300,f,m,c\n\n#datatype,string\n,error\n,no";
    const INFLUXQL: &str = r#"{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"host":"a"},"columns":["time","f","g"],"values":[[1,2,null],[2,3.5,true],[-5,1e308]]}]}]}"#;
    const PROMETHEUS: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"m_f","a":"x\"y"},"values":[[1.5,"2"],[1e300,"NaN"]]}]}}"#;
    /// What breaks readers.
    const HARD: [&str; 12] =
        ["\"", ",", "\n", "#", "{", "[", "null", "99999999999999999999", "\\", "\u{0}", "-", "#group"];
    /// Changed answers of each entry.
    const ROUNDS: usize = 20_000;

    #[test]
    fn changed_answers_do_not_panic() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound.max(1) as u64) as usize
        };
        for ((_, entry), text) in ENTRIES.iter().zip([CSV, INFLUXQL, PROMETHEUS]) {
            entry(text.as_bytes());
            for _ in 0..ROUNDS {
                let mut bytes = text.as_bytes().to_vec();
                for _ in 0..=below(4) {
                    let (from, to) = (below(bytes.len()), below(bytes.len()));
                    let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 20));
                    match below(3) {
                        0 => drop(bytes.drain(from..to)),
                        1 => drop(bytes.splice(from..to, HARD[below(HARD.len())].bytes())),
                        _ => {
                            let piece = bytes[from..to].to_vec();
                            let at = below(bytes.len());
                            bytes.splice(at..at, piece);
                        }
                    }
                }
                entry(&bytes);
            }
        }
    }
}
