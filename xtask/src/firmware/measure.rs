//! What the library takes on a Cortex-M0: `firmware/meter` built with it and without it, and run in QEMU, where an instruction
//! takes a nanosecond.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::elf;
use crate::command::capture;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::bare_metal::{self, SMALLEST, Source};

const QEMU: &str = "qemu-system-arm";
/// What the library is promised to take at most, with a key and its cipher as without one.
const FLASH_BYTES: u64 = 16 * 1024;
/// Its ring, which is the caller's, left out.
const RAM_BYTES: u64 = 2 * 1024;

const NOTE: &str = "Flash is the difference between two small programs, one with the library and one without it: three channels, ring, \
                    blocking link, sampler. What the compiler brings is memory copies and divisions. Instructions are counted in QEMU \
                    over 1,000 readings of one channel in frames of ten or less, each acknowledged.";

pub struct Measured {
    flash: u64,
    /// Of it, what the compiler brings.
    runtime: u64,
    counted: BTreeMap<String, u64>,
    /// With the feature `key`.
    keyed: Keyed,
}

struct Keyed {
    /// Without what the compiler brings.
    flash: u64,
    counted: BTreeMap<String, u64>,
}

/// Prints one JSON object, as every bench does.
pub fn run(repository: &Repository, source: Source) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    let measured = steps.run("firmware library", |step| measure(repository, step, source));
    steps.finish()?;
    let measured = measured.context("nothing was measured")?;
    println!("{}", json!({ "name": "firmware", "rows": measured.rows()?, "note": NOTE }));
    Ok(())
}

/// An error where the library takes more than is promised.
pub fn check(repository: &Repository, step: &mut Step, source: Source) -> Result<()> {
    let promise = measure(repository, step, source)?.hold()?;
    step.note(promise);
    Ok(())
}

fn measure(repository: &Repository, step: &mut Step, source: Source) -> Result<Measured> {
    let toolchain = bare_metal::ensure(repository, step, source, &[SMALLEST])?;
    let keyed = {
        let build =
            toolchain.cargo(repository, SMALLEST, &["build", "--release", "--bins", "--features", "key"]);
        let (flash, runtime, counted) = one(repository, step, build)?;
        Keyed { flash: flash - runtime, counted }
    };
    let build = toolchain.cargo(repository, SMALLEST, &["build", "--release", "--bins"]);
    let (flash, runtime, counted) = one(repository, step, build)?;
    Ok(Measured { flash, runtime, counted, keyed })
}

/// Builds the programs one way: flash of the library, what of it the compiler brings, and what they count.
fn one(
    repository: &Repository,
    step: &mut Step,
    mut build: Command,
) -> Result<(u64, u64, BTreeMap<String, u64>)> {
    step.run_without_warnings(build.current_dir(repository.path("firmware/meter")))?;
    let built = bare_metal::build_folder(repository).join(SMALLEST).join("release");
    let read = |name: &str| {
        let path = built.join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (with, without) = (read("with")?, read("without")?);
    let mut load = Command::new(QEMU);
    load.args(["-M", "microbit", "-display", "none", "-icount", "shift=0"]);
    load.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(built.join("load"));
    Ok((
        elf::size(&with)?.flash_bytes - elf::size(&without)?.flash_bytes,
        elf::compiler_runtime_bytes(&with)? - elf::compiler_runtime_bytes(&without)?,
        counts(&capture(&mut load)?)?,
    ))
}

impl Measured {
    fn of(&self, name: &str) -> Result<u64> {
        self.counted.get(name).copied().with_context(|| format!("the meter counted no {name}"))
    }

    fn hold(&self) -> Result<String> {
        let flash = self.flash - self.runtime;
        let ram = self.of("node_bytes")? + self.of("transmit_bytes")?;
        let keyed = |name: &str| {
            self.keyed.counted.get(name).copied().context("the meter counted nothing under a key")
        };
        let keyed_ram = keyed("node_bytes")? + keyed("transmit_bytes")?;
        for (what, takes, may) in [
            ("flash", flash, FLASH_BYTES),
            ("RAM without its ring", ram, RAM_BYTES),
            ("flash with a key", self.keyed.flash, FLASH_BYTES),
            ("RAM with a key, without its ring", keyed_ram, RAM_BYTES),
        ] {
            if takes > may {
                bail!("the library takes {takes} B of {what}, and is promised to take {may} B at most");
            }
        }
        let with_key = self.keyed.flash;
        Ok(format!(
            "flash {flash} B, with a key {with_key}, of {FLASH_BYTES} B; RAM {ram} B, with a key {keyed_ram}, of {RAM_BYTES} B without the ring"
        ))
    }

    fn rows(&self) -> Result<Vec<Value>> {
        let readings = self.of("readings")? as f64;
        let row = |what: &str, value: f64, unit: &str| json!({ "what": what, "value": value, "unit": unit });
        let bytes = |what: &str, name: &str| Ok::<_, anyhow::Error>(row(what, self.of(name)? as f64, "B"));
        let each = |what: &str, name: &str| {
            let instructions = (self.of(name)? as f64 / readings).round();
            Ok::<_, anyhow::Error>(row(what, instructions, "instructions"))
        };
        Ok(vec![
            row("flash of the library", (self.flash - self.runtime) as f64, "B"),
            row("flash of what the compiler brings for it", self.runtime as f64, "B"),
            row("flash of the library with a key, its cipher included", self.keyed.flash as f64, "B"),
            bytes("RAM of a node with four channels, without its ring", "node_bytes")?,
            bytes("RAM of a transmit buffer", "transmit_bytes")?,
            bytes("stack below the caller's, at its deepest", "stack_bytes")?,
            row(
                "RAM of a node with four channels and a key, without its ring",
                self.keyed.counted.get("node_bytes").copied().unwrap_or_default() as f64,
                "B",
            ),
            each("a reading is sampled", "sample_instructions")?,
            each("a reading is sent", "transmit_instructions")?,
            each("a reading's acknowledgement is taken", "receive_instructions")?,
        ])
    }
}

/// A name and a number a line.
fn counts(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let number =
            line.split_once(' ').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
        let Some((name, number)) = number else { bail!("the meter said: {line}") };
        counts.insert(name, number);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_numbers_and_nothing_else() {
        let expected = [("readings".to_owned(), 10), ("frames".to_owned(), 2)].into();
        assert_eq!(counts("readings 10\nframes 2\n").unwrap(), expected);
        assert!(counts("readings ten").is_err());
        assert!(counts("panicked").is_err());
    }

    #[test]
    fn what_is_promised_is_held() {
        let counted = |node| [("node_bytes".to_owned(), node), ("transmit_bytes".to_owned(), 256)].into();
        let under_a_key = |flash, node, keyed| {
            let keyed = Keyed { flash: keyed, counted: counted(node) };
            Measured { flash, runtime: 3_000, counted: counted(0), keyed }.hold()
        };
        assert!(under_a_key(3_000, RAM_BYTES - 256, FLASH_BYTES).is_ok());
        assert!(under_a_key(3_000, 0, FLASH_BYTES + 1).is_err());
        assert!(under_a_key(3_000, RAM_BYTES - 255, 0).is_err());
        let keyed = || Keyed { flash: 0, counted: counted(0) };
        let held =
            |flash, node| Measured { flash, runtime: 3_000, counted: counted(node), keyed: keyed() }.hold();
        assert!(held(3_000 + FLASH_BYTES, RAM_BYTES - 256).is_ok());
        assert!(held(3_001 + FLASH_BYTES, 0).is_err());
        assert!(held(3_000, RAM_BYTES - 255).is_err());
    }
}
