//! Annotated CSV, InfluxDB 2's answers, line by line.
//!
//! Tables follow each other; rows above a table (`#datatype`, `#group`, `#default`) say what its columns are, the first row
//! without `#` what they are called. An empty line, or the next annotation, ends a table.

use agent_common::text::unix_ns;
use promql::{Labels, ReadError};

use crate::store::elsewhere::collected::failed;

/// Longest record, bytes: a row with all its tags.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// Most columns of a table.
const MAX_COLUMNS: usize = 1_000;

/// A row of values.
pub(in crate::store::elsewhere) struct Row<'r> {
    /// Number of its table.
    pub(in crate::store::elsewhere) table: u64,
    pub(in crate::store::elsewhere) measurement: &'r str,
    pub(in crate::store::elsewhere) field: &'r str,
    /// The tags, if they are wanted.
    pub(in crate::store::elsewhere) labels: &'r dyn Fn() -> Labels,
    /// Unix time, ns; 0: none.
    pub(in crate::store::elsewhere) time: i64,
    pub(in crate::store::elsewhere) value: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::store::elsewhere) struct Reader {
    /// A record whose text goes on in the next line.
    open: Vec<u8>,
    columns: Vec<Column>,
    /// The columns have names.
    named: bool,
    /// Number of the table, and what says in a row which one it is.
    table: u64,
    mark: String,
}

#[derive(Debug, Default, Clone)]
struct Column {
    kind: String,
    /// A part of what makes a table: a tag.
    grouped: bool,
    default: String,
    name: String,
}

impl Reader {
    /// Takes a line, without its end.
    pub(in crate::store::elsewhere) fn line(
        &mut self,
        line: &[u8],
        each: &mut dyn FnMut(Row<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        // A quote that stays open, be it that of the lines before. They are looked at once: there may be a million.
        let stays_open = line.iter().fold(!self.open.is_empty(), |open, byte| open ^ (*byte == b'"'));
        let mut record = std::mem::take(&mut self.open);
        if !record.is_empty() {
            record.push(b'\n');
        }
        record.extend_from_slice(line);
        if record.len() > MAX_RECORD_BYTES {
            return Err(failed("InfluxDB sent a row that is larger than a row can be"));
        }
        if stays_open {
            self.open = record;
            return Ok(());
        }
        let record = record.strip_suffix(b"\r").unwrap_or(&record);
        let text = std::str::from_utf8(record).map_err(|_| failed("InfluxDB sent what is no UTF-8"))?;
        self.record(text, each)
    }

    /// Must be called after the last line.
    pub(in crate::store::elsewhere) fn end(
        &mut self,
        each: &mut dyn FnMut(Row<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let rest = std::mem::take(&mut self.open);
        if !rest.is_empty() {
            return Err(failed("the answer of InfluxDB ends within a text"));
        }
        self.record("", each)
    }

    fn record(
        &mut self,
        text: &str,
        each: &mut dyn FnMut(Row<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        if text.is_empty() {
            self.columns.clear();
            self.named = false;
            return Ok(());
        }
        let cells = cells(text);
        if cells.len() > MAX_COLUMNS {
            return Err(failed("InfluxDB sent a table of too many columns"));
        }
        if cells[0].starts_with('#') {
            if self.named {
                self.columns.clear();
                self.named = false;
            }
            self.columns.resize_with(cells.len().max(self.columns.len()), Column::default);
            let annotation = cells[0].clone();
            for (column, cell) in self.columns.iter_mut().zip(cells).skip(1) {
                match &*annotation {
                    "#datatype" => column.kind = cell,
                    "#group" => column.grouped = cell == "true",
                    "#default" => column.default = cell,
                    _ => {}
                }
            }
            return Ok(());
        }
        if !self.named {
            self.columns.resize_with(cells.len().max(self.columns.len()), Column::default);
            for (column, cell) in self.columns.iter_mut().zip(cells) {
                column.name = cell;
            }
            self.named = true;
            self.table += 1;
            self.mark.clear();
            return Ok(());
        }
        self.row(&cells, each)
    }

    fn row(
        &mut self,
        cells: &[String],
        each: &mut dyn FnMut(Row<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let columns = &self.columns;
        let value = |at: usize| {
            let cell = cells.get(at).map_or("", String::as_str);
            if cell.is_empty() { columns[at].default.as_str() } else { cell }
        };
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let named = |name: &str| place(name).map_or("", value);
        if let Some(at) = place("error") {
            let said: String = value(at).chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(failed(format!("InfluxDB refuses the query: {said}")));
        }
        let mark = format!("{}\0{}", named("result"), named("table"));
        if mark != self.mark {
            self.mark = mark;
            self.table += 1;
        }
        let Some(at) = place("_value") else { return Ok(()) };
        let number = match (&*columns[at].kind, value(at)) {
            (_, "") | ("string", _) => None,
            ("boolean", value) => Some(f64::from(u8::from(value == "true"))),
            (_, value) => value.parse().ok(),
        };
        // A text, or nothing.
        let Some(number) = number else { return Ok(()) };
        let time = match named("_time") {
            "" => 0,
            text => {
                unix_ns(text).ok_or_else(|| failed(format!("InfluxDB sent a time {text:?} that is none")))?
            }
        };
        let labels = || {
            let is_tag = |column: &Column| column.grouped && !column.name.starts_with('_');
            let tags = columns.iter().enumerate().filter(|(_, column)| is_tag(column));
            let tags = tags.filter(|(_, column)| !["", "result", "table"].contains(&&*column.name));
            Labels::new(tags.map(|(at, column)| (column.name.as_str().into(), value(at).into())))
        };
        each(Row {
            table: self.table,
            measurement: named("_measurement"),
            field: named("_field"),
            labels: &labels,
            time,
            value: number,
        })
    }
}

/// The cells of a record: between quotes a comma is a comma, and two quotes are one.
fn cells(record: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut rest = record.chars().peekable();
    while let Some(c) = rest.next() {
        // SANITY: there is one from the beginning.
        let last = cells.last_mut().expect("a cell");
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => last.push(c),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as text, or the error.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let mut rows = Vec::new();
        let mut reader = Reader::default();
        let mut each = |row: Row<'_>| {
            let labels = (row.labels)();
            let Row { table, measurement, field, time, value, .. } = row;
            rows.push(format!("{table} {measurement}.{field}{labels} {value}@{time}"));
            Ok(())
        };
        let lines = text.split('\n').try_for_each(|line| reader.line(line.as_bytes(), &mut each));
        lines.and_then(|()| reader.end(&mut each)).map_err(|error| error.message)?;
        Ok(rows)
    }

    /// As InfluxDB 2 sends it: two tables of one shape, one of another, with CRLF.
    const TEXT: &str = "#datatype,string,long,dateTime:RFC3339,long,string,string,string,string\r
#group,false,false,false,false,true,true,true,true\r
#default,_result,,,,,,,\r
,result,table,_time,_value,_field,_measurement,comm,host\r
,,0,2023-11-14T22:13:21Z,250,user_ns,s7mpa_process,web,h\r
,,0,2023-11-14T22:13:22.5Z,251,user_ns,s7mpa_process,web,h\r
,,1,2023-11-14T22:13:21Z,7,user_ns,s7mpa_process,\"a,\"\"b\"\"\nc\",h\r
\r
#datatype,string,long,dateTime:RFC3339,double,string,string,string\r
#group,false,false,false,false,true,true,true\r
#default,_result,,,,,,eve\r
,result,table,_time,_value,_field,_measurement,host\r
,,2,2023-11-14T22:13:21Z,0.5,load1,s7mpa_host,\r
,,2,2023-11-14T22:13:22Z,,load1,s7mpa_host,\r
\r
";

    #[test]
    fn tables_follow_each_other() {
        assert_eq!(
            read(TEXT).unwrap(),
            [
                r#"2 s7mpa_process.user_ns{comm="web",host="h"} 250@1700000001000000000"#,
                r#"2 s7mpa_process.user_ns{comm="web",host="h"} 251@1700000002500000000"#,
                r#"3 s7mpa_process.user_ns{comm="a,\"b\"\nc",host="h"} 7@1700000001000000000"#,
                r#"5 s7mpa_host.load1{host="eve"} 0.5@1700000001000000000"#,
            ]
        );
    }

    #[test]
    fn texts_and_rows_without_a_time_are_understood() {
        let table = |kind: &str, value: &str| {
            format!(
                "#datatype,string,long,{kind},string,string\n#group,false,false,false,true,true\n\
                 #default,_result,,,,\n,result,table,_value,_field,_measurement\n,,0,{value},f,m"
            )
        };
        assert_eq!(read(&table("boolean", "true")).unwrap(), ["2 m.f{} 1@0"]);
        assert_eq!(read(&table("unsignedLong", "18446744073709551615")).unwrap().len(), 1);
        assert_eq!(read(&table("string", "5")).unwrap(), [""; 0], "a text is no number");
    }

    #[test]
    fn errors_are_said_and_what_is_cut_short_is_seen() {
        let refused =
            "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,no such bucket,897";
        assert!(read(refused).unwrap_err().ends_with("no such bucket"));
        assert!(read(&TEXT[..TEXT.find("\"\"b").unwrap()]).unwrap_err().contains("ends within a text"));
        let time = TEXT.replace("22:13:21Z", "25:13:21Z");
        assert!(read(&time).unwrap_err().contains("a time"));
        assert!(read(&format!(",{}", "a,".repeat(MAX_COLUMNS))).is_err());
        assert!(read(&format!("\"{}", "a".repeat(MAX_RECORD_BYTES))).is_err());
    }
}
