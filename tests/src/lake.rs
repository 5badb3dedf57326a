//! The lake as another program reads it: DuckDB, from PyPI, in a process of its own.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::python::python;

/// Reads a query from the arguments; prints the rows as one JSON array of arrays. Doubles go out as their bits, so
/// that not even the last one is lost on the way.
const SCRIPT: &str = r#"
import duckdb, json, struct, sys
def plain(value):
    if isinstance(value, float):
        return "f64:%016x" % struct.unpack(">Q", struct.pack(">d", value))[0]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
rows = duckdb.connect().execute(sys.argv[1]).fetchall()
json.dump([[plain(value) for value in row] for row in rows], sys.stdout)
"#;

/// Rows of `select`, in which `LAKE` stands for the Parquet files below `ingest_data`.
///
/// # Panics
/// When there is no Python with DuckDB; the message names the command that installs one.
pub fn query(ingest_data: &Path, select: &str) -> Vec<Vec<Value>> {
    try_query(ingest_data, select).unwrap_or_else(|why| panic!("{why}\n{REMEDY}"))
}

/// As [`query`]; what DuckDB cannot answer (there is no file yet) is an error.
pub fn try_query(ingest_data: &Path, select: &str) -> Result<Vec<Vec<Value>>, String> {
    let files = ingest_data.join("lake/readings/*/*.parquet");
    let select = select.replace("LAKE", &format!("read_parquet('{}')", files.display()));
    let output = Command::new(python())
        .args(["-c", SCRIPT, &select])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; {REMEDY}", python().display()));
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("DuckDB cannot answer `{select}`: {said}"));
    }
    Ok(serde_json::from_slice(&output.stdout).expect("the script prints JSON"))
}

const REMEDY: &str = "`cargo xtask test` makes a Python with duckdb under target/tools/venv; \
    TIDEGATE_TEST_PYTHON names another";

/// A double as [`query`] gives it.
pub fn double(value: &Value) -> f64 {
    let bits = value.as_str().and_then(|text| text.strip_prefix("f64:"));
    let bits = bits.and_then(|hex| u64::from_str_radix(hex, 16).ok());
    f64::from_bits(bits.unwrap_or_else(|| panic!("no double: {value}")))
}
